// Bare C++ harness of a generated top: whole data sets with nothing in the cycle loop but C++.
//
// Arguments are "key=value": words (file of uint64: TLAST in bit 32, the word below), before (how
// many of them come before the first sample, and are not of the cycles that count), samples,
// outputs (file of uint32), seed, idle and stall (probabilities of starting a pause, in 2^-32),
// timeout (cycles without a class), control (value of the control register), registers (file of
// uint32, addresses 0x00 to 0x4C after the run), waves (VCD file), and of what: wave_sample, or the
// cycles wave_from to wave_to.
// Of streamed weights also those of memory.hpp: weights (file), base, interval, latency,
// memory_stall, error_at.
// Prints one line "cycles accepted classes status"; exit status 3 is a deadlock, 4 one of the
// registers, 5 a wrong request for weights.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

constexpr int kRegisters = 20;
constexpr uint8_t kControl = 0x08, kStatus = 0x0C, kWeightsBase = 0x50;
constexpr uint64_t kAccessCycles = 1000;

// Random pauses: most last a cycle, one in 32 up to 256, long enough to fill every buffer.
class Pauses {
 public:
  Pauses(uint64_t seed, uint64_t probability) : random_(seed), probability_(probability) {}

  bool next() {
    if (left_ > 0) {
      --left_;
      return true;
    }
    if (probability_ == 0 || (random_() >> 32) >= probability_) return false;
    left_ = random_() % 32 == 0 ? random_() % 256 : 0;
    return true;
  }

 private:
  std::mt19937_64 random_;
  uint64_t probability_;
  uint64_t left_ = 0;
};

#ifdef M_AXI_BYTES
#include "memory.hpp"
#endif

class Bench {
 public:
  explicit Bench(VerilatedContext* context) : context_(context), top(context) {}

  // One clock cycle. Inputs are set before; what handshakes is read when `settled` is called,
  // between the falling and the rising edge.
  template <typename F>
  void cycle(F settled) {
#ifdef M_AXI_BYTES
    if (memory) memory->drive(top);
#endif
    top.aclk = 0;
    eval();
    settled();
#ifdef M_AXI_BYTES
    if (memory) memory->settle(top);
#endif
    top.aclk = 1;
    eval();
    ++cycles;
  }

  void write(uint8_t address, uint32_t value) {
    top.s_axi_awaddr = address;
    top.s_axi_wdata = value;
    top.s_axi_wstrb = 0xF;
    top.s_axi_awvalid = top.s_axi_wvalid = top.s_axi_bready = 1;
    const uint64_t start = cycles;
    for (bool done = false; !done;) {
      bool aw = false, w = false;
      cycle([&] {
        aw = top.s_axi_awvalid && top.s_axi_awready;
        w = top.s_axi_wvalid && top.s_axi_wready;
        done = top.s_axi_bvalid;
      });
      if (aw) top.s_axi_awvalid = 0;
      if (w) top.s_axi_wvalid = 0;
      watch(start);
    }
    top.s_axi_bready = 0;
  }

  uint32_t read(uint8_t address) {
    uint32_t value = 0;
    top.s_axi_araddr = address;
    top.s_axi_arvalid = top.s_axi_rready = 1;
    const uint64_t start = cycles;
    for (bool done = false; !done;) {
      bool ar = false;
      cycle([&] {
        ar = top.s_axi_arvalid && top.s_axi_arready;
        done = top.s_axi_rvalid;
        if (done) value = top.s_axi_rdata;
      });
      if (ar) top.s_axi_arvalid = 0;
      watch(start);
    }
    top.s_axi_rready = 0;
    return value;
  }

  void wave(const std::string& path) {
#if VM_TRACE
    if (!vcd_) {
      vcd_ = std::make_unique<VerilatedVcdC>();
      top.trace(vcd_.get(), 99);
      vcd_->open(path.c_str());
    }
#else
    (void)path;
#endif
  }

  void finish() {
#if VM_TRACE
    if (vcd_) vcd_->close();
#endif
    top.final();
  }

  uint64_t cycles = 0;
#ifdef M_AXI_BYTES
  std::unique_ptr<Memory> memory;
#endif

 private:
  void eval() {
    top.eval();
#if VM_TRACE
    if (vcd_) vcd_->dump(context_->time());
#endif
    context_->timeInc(5);
  }

  void watch(uint64_t start) const {
    if (cycles - start > kAccessCycles) {
      std::printf("AXI4-Lite access unanswered\n");
      std::exit(4);
    }
  }

  VerilatedContext* context_;
#if VM_TRACE
  std::unique_ptr<VerilatedVcdC> vcd_;
#endif

 public:
  Vtop top;
};

template <typename T>
std::vector<T> load(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  std::vector<T> result(static_cast<size_t>(file.tellg()) / sizeof(T));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(result.data()), result.size() * sizeof(T));
  return result;
}

template <typename T>
void save(const std::string& path, const std::vector<T>& values) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

}  // namespace

int main(int argc, char** argv) {
  auto context = std::make_unique<VerilatedContext>();
  context->commandArgs(argc, argv);
  context->traceEverOn(true);
  std::map<std::string, std::string> options;
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    const auto equals = text.find('=');
    if (text[0] != '+' && equals != std::string::npos) {
      options[text.substr(0, equals)] = text.substr(equals + 1);
    }
  }
  auto number = [&](const char* key) { return std::stoull(options.at(key)); };

  const auto words = load<uint64_t>(options.at("words"));
  const uint64_t before = number("before"), samples = number("samples"), timeout = number("timeout");
  const bool waves = options.count("waves") != 0;
  const bool window = options.count("wave_from") != 0;
  const uint64_t wave_sample = waves && !window ? number("wave_sample") : samples;
  const uint64_t wave_from = window ? number("wave_from") : 0;
  const uint64_t wave_to = window ? number("wave_to") : UINT64_MAX;
  Pauses idle(2 * number("seed"), number("idle")), stall(2 * number("seed") + 1, number("stall"));

  Bench bench(context.get());
  Vtop& top = bench.top;
  top.aresetn = 0;
  for (int i = 0; i < 8; ++i) bench.cycle([] {});
  top.aresetn = 1;
  bench.cycle([] {});
  if (number("control") != 0) bench.write(kControl, static_cast<uint32_t>(number("control")));
#ifdef M_AXI_BYTES
  bench.memory = std::make_unique<Memory>(load<uint8_t>(options.at("weights")), options);
  bench.write(kWeightsBase, static_cast<uint32_t>(number("base")));
#endif

  std::vector<uint32_t> outputs;
  size_t sent = 0, begun = 0;  // words accepted; samples whose first word was put on the bus
  uint64_t classes = 0, started = bench.cycles, ended = bench.cycles, progress = bench.cycles;
  bool first_word = true, dead = false;
  while (classes < samples && !dead) {
    if (!top.s_axis_tvalid && sent < words.size() && !idle.next()) {
      top.s_axis_tdata = static_cast<uint32_t>(words[sent]);
      top.s_axis_tlast = words[sent] >> 32 & 1;
      top.s_axis_tvalid = 1;
      if (first_word && waves && begun == wave_sample) bench.wave(options.at("waves"));
      if (first_word) ++begun;
      first_word = top.s_axis_tlast;
    }
    top.m_axis_tready = !stall.next();
    if (window && bench.cycles >= wave_from) bench.wave(options.at("waves"));
    bool taken = false, last = false;
    bench.cycle([&] {
      taken = top.s_axis_tvalid && top.s_axis_tready;
      if (top.m_axis_tvalid && top.m_axis_tready) {
        outputs.push_back(top.m_axis_tdata);
        last = top.m_axis_tlast;
      }
    });
    if (taken) {
      if (sent++ == before) started = bench.cycles - 1;
      top.s_axis_tvalid = 0;
    }
    if (last) {
      ++classes;
      ended = progress = bench.cycles;
      if (waves && classes > wave_sample) break;
    }
    if (bench.cycles > wave_to) break;
    dead = bench.cycles - progress > timeout;
  }
  if (!dead && !waves) {
    std::vector<uint32_t> registers;
    for (int i = 0; i < kRegisters; ++i) registers.push_back(bench.read(4 * i));
    save(options.at("registers"), registers);
  }
  const uint32_t status = dead ? bench.read(kStatus) : 0;
  bench.finish();
  save(options.at("outputs"), outputs);
  std::printf("%llu %zu %llu %u\n", static_cast<unsigned long long>(ended - started), sent,
              static_cast<unsigned long long>(classes), status);
  return dead ? 3 : 0;
}
