// The simulated board at the far end of a serial line: module `board` with `top` inside.
//
// Argument: clock cycles of a bit. Standard input: pairs of bytes, 0 and a character to put on the
// line, 1 and anything for a line break, or 2 and anything to ask for a mark. Standard output: pairs
// of bytes, 0 and a character that the board sent, or 1 and 0, the mark: all that was put on the
// line before it was asked for has been heard, and the line has rested for 40 bits since.

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>

#include "Vboard.h"
#include "verilated.h"

double sc_time_stamp() { return 0; }

int main(int argc, char** argv) {
  const int divisor = std::atoi(argv[1]);
  VerilatedContext context;
  Vboard board(&context);
  fcntl(0, F_SETFL, O_NONBLOCK);
  std::deque<int> levels;  // one per bit, to be put on the line
  int to_next = 0;         // cycles until the next bit on the line
  int heard = -1;          // bits of the character under way, -1 for none
  int to_sample = 0;
  uint8_t character = 0;
  bool asked = false;
  board.rx = 1;

  const auto say = [](uint8_t kind, uint8_t content) {
    const uint8_t pair[2] = {kind, content};
    return write(1, pair, 2) == 2;
  };

  for (uint64_t cycle = 0;; ++cycle) {
    if (asked && levels.empty() && to_next == 0) {
      asked = false;
      if (!say(1, 0)) return 3;
    }
    if (cycle % 64 == 0 && levels.empty() && !asked) {
      uint8_t pair[2];
      const ssize_t count = read(0, pair, 2);
      if (count == 0) return 0;
      if (count == 1) return 1;
      if (count == 2 && pair[0] == 0) {
        levels.push_back(0);
        for (int i = 0; i < 8; ++i) levels.push_back(pair[1] >> i & 1);
        levels.push_back(1);
      } else if (count == 2 && pair[0] == 2) {
        levels.insert(levels.end(), 40, 1);
        asked = true;
      } else if (count == 2) {
        levels.insert(levels.end(), 24, 0);
        levels.insert(levels.end(), 2, 1);
      }
    }
    if (to_next > 0) {
      --to_next;
    } else if (!levels.empty()) {
      board.rx = levels.front();
      levels.pop_front();
      to_next = divisor - 1;
    }

    board.clk = 0;
    board.eval();
    board.clk = 1;
    board.eval();

    if (heard < 0) {
      if (!board.tx) {
        heard = 0;
        to_sample = divisor + divisor / 2;
      }
    } else if (--to_sample == 0) {
      to_sample = divisor;
      if (heard == 8) {
        if (!board.tx) return 2;  // no stop bit
        if (!say(0, character)) return 3;
        heard = -1;
      } else {
        character = character >> 1 | board.tx << 7;
        ++heard;
      }
    }
  }
}
