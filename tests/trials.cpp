// Trials on a Verilated top: any number of words, a reset in whatever cycle, then whole samples.
//
// Arguments: trials (file of uint64), outputs (file of uint32), seed, idle and stall (probability
// of starting a pause in a cycle without, in 2^-32), longest (of a pause, in cycles), timeout
// (cycles without a class).
// A trial is: the number of its words, of words that a reset cuts off, of cycles until that reset,
// of cycles that it lasts, of classes; then the words themselves (TLAST in bit 32). Without words
// to cut off there is no reset. For each trial, outputs get: the number of words that left, cycles
// from the first word taken to the last class, the words. Exit status 3: a trial never ended.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

namespace {

constexpr uint64_t kNever = ~0ull;

struct Pauses {
  std::mt19937_64 random;
  uint64_t probability, longest, left = 0;

  bool next() {
    if (left > 0) return left--;
    if ((random() >> 32) >= probability) return false;
    left = random() % longest;
    return true;
  }
};

struct Bench {
  Vtop top;
  Pauses idle, stall;
  uint64_t cycles = 0, started = 0, ended = 0, classes = 0;
  std::vector<uint32_t> outputs;

  void cycle() {
    top.aclk = 0;
    top.eval();
    taken = top.s_axis_tvalid && top.s_axis_tready;
    if (top.m_axis_tvalid && top.m_axis_tready && top.aresetn) {
      outputs.push_back(top.m_axis_tdata);
      if (top.m_axis_tlast) {
        ++classes;
        ended = cycles;
      }
    }
    top.aclk = 1;
    top.eval();
    ++cycles;
  }

  // Sends words until there are `wanted` classes, for `limit` cycles, or `timeout` without a class.
  bool run(const uint64_t* words, uint64_t count, uint64_t wanted, uint64_t limit,
           uint64_t timeout) {
    classes = 0;
    ended = cycles;
    uint64_t sent = 0;
    for (uint64_t i = 0; i < limit && classes < wanted && cycles - ended < timeout; ++i) {
      if (!top.s_axis_tvalid && sent < count && !idle.next()) {
        top.s_axis_tdata = static_cast<uint32_t>(words[sent]);
        top.s_axis_tlast = words[sent] >> 32 & 1;
        top.s_axis_tvalid = 1;
      }
      top.m_axis_tready = !stall.next();
      cycle();
      if (taken) {
        if (sent++ == 0) started = cycles - 1;
        top.s_axis_tvalid = 0;
      }
    }
    return classes == wanted;
  }

  void reset(uint64_t length) {
    top.s_axis_tvalid = 0;
    top.aresetn = 0;
    for (uint64_t i = 0; i < length; ++i) cycle();
    top.aresetn = 1;
  }

 private:
  bool taken = false;
};

}  // namespace

int main(int argc, char** argv) {
  VerilatedContext* context = Verilated::defaultContextp();
  context->commandArgs(argc, argv);
  std::map<std::string, std::string> options;
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    options[text.substr(0, text.find('='))] = text.substr(text.find('=') + 1);
  }
  auto number = [&](const char* key) { return std::stoull(options.at(key)); };

  std::ifstream file(options.at("trials"), std::ios::binary | std::ios::ate);
  std::vector<uint64_t> script(static_cast<size_t>(file.tellg()) / 8);
  file.seekg(0);
  file.read(reinterpret_cast<char*>(script.data()), script.size() * 8);

  auto bench = std::make_unique<Bench>();
  for (Pauses* pauses : {&bench->idle, &bench->stall}) {
    const bool idle = pauses == &bench->idle;
    pauses->random.seed(2 * number("seed") + idle);
    pauses->probability = number(idle ? "idle" : "stall");
    pauses->longest = number("longest");
  }
  std::vector<uint32_t> results;
  bool ended = true;
  bench->reset(4);
  for (size_t at = 0; at < script.size() && ended;) {
    const uint64_t* head = &script[at];
    const uint64_t count = head[0], cut = head[1];
    const uint64_t* words = head + 5;
    at += 5 + count;
    if (cut != 0) {
      bench->run(words, cut, kNever, head[2], kNever);
      bench->reset(head[3]);
    }
    bench->outputs.clear();
    ended = bench->run(words + cut, count - cut, head[4], kNever, number("timeout"));
    results.push_back(static_cast<uint32_t>(bench->outputs.size()));
    results.push_back(static_cast<uint32_t>(bench->ended - bench->started));
    results.insert(results.end(), bench->outputs.begin(), bench->outputs.end());
  }
  bench->top.final();
  std::ofstream out(options.at("outputs"), std::ios::binary);
  out.write(reinterpret_cast<const char*>(results.data()), results.size() * 4);
  return ended ? 0 : 3;
}
