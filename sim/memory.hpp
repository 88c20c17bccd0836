// The external memory of a design that streams its weights, on the read channels of AXI4.
// Part of harness.cpp, which native.py puts it into.
//
// Answers a request `latency` cycles later at the earliest, with at most one beat in `interval`
// cycles; both channels pause at random. What lies outside the weights, or holds their byte
// `error_at`, is answered with an error.

class Memory {
 public:
  Memory(std::vector<uint8_t> bytes, const std::map<std::string, std::string>& options)
      : bytes_(std::move(bytes)),
        base_(number(options, "base")),
        interval_(number(options, "interval")),
        latency_(number(options, "latency")),
        error_at_(number(options, "error_at")),
        requests_(3 * number(options, "seed"), number(options, "memory_stall")),
        answers_(3 * number(options, "seed") + 1, number(options, "memory_stall")) {}

  // Before a cycle: what the design sees in it.
  void drive(Vtop& top) {
    ++now_;
    top.m_axi_arready = !requests_.next();
    if (taken_) top.m_axi_rvalid = 0;
    taken_ = false;
    const bool waits = beats_.empty() || beats_.front().due > now_ || next_ > now_;
    if (top.m_axi_rvalid || waits || answers_.next()) return;
    const Beat beat = beats_.front();
    beats_.pop_front();
    next_ = now_ + interval_;
    const uint64_t offset = beat.address - base_;
    const bool known = beat.address >= base_ && offset + M_AXI_BYTES <= bytes_.size();
    const bool wrong = !known || (error_at_ >= offset && error_at_ < offset + M_AXI_BYTES);
    if (known) std::memcpy(&top.m_axi_rdata, &bytes_[offset], M_AXI_BYTES);
    top.m_axi_rresp = wrong ? 2 : 0;
    top.m_axi_rlast = beat.last;
    top.m_axi_rvalid = 1;
  }

  // Before the rising edge: what has passed.
  void settle(const Vtop& top) {
    taken_ = top.m_axi_rvalid && top.m_axi_rready;
    if (!top.m_axi_arvalid || !top.m_axi_arready) return;
    const uint64_t address = top.m_axi_araddr, count = top.m_axi_arlen + 1;
    const uint64_t end = address + count * M_AXI_BYTES - 1;
    if (1u << top.m_axi_arsize != M_AXI_BYTES || top.m_axi_arburst != 1 || address >> 12 != end >> 12) {
      std::printf("request for weights is no burst of whole beats within 4 KB\n");
      std::exit(5);
    }
    for (uint64_t i = 0; i < count; ++i) {
      beats_.push_back({now_ + 1 + latency_, address + i * M_AXI_BYTES, i == count - 1});
    }
  }

 private:
  struct Beat {
    uint64_t due, address;
    bool last;
  };

  static uint64_t number(const std::map<std::string, std::string>& options, const char* key) {
    return std::stoull(options.at(key));
  }

  std::vector<uint8_t> bytes_;
  uint64_t base_, interval_, latency_, error_at_;
  Pauses requests_, answers_;
  std::deque<Beat> beats_;
  uint64_t now_ = 0, next_ = 0;
  bool taken_ = false;
};
