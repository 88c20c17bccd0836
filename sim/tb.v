// Self-checking test bench of top.v, with recorded vectors. Run it in this folder:
//   $ verilator --binary --timing -Wno-fatal -CFLAGS -std=c++20 --top-module tb tb.v top.v
//   $ obj_dir/Vtb
// or
//   $ iverilog -g2005 -s tb -o tb tb.v top.v && vvp tb
// Prints PASS, or prints FAIL and ends with a status other than 0.
`timescale 1ns / 1ps

module tb;
  localparam WORDS = 0;
  localparam RESULTS = 0;
  localparam CLASSES = 0;
  localparam TIMEOUT = 200000;  // cycles without a result

  reg [32:0] vectors [0:WORDS-1];
  reg [32:0] expected [0:RESULTS-1];
  integer sent, received, quiet, seed;

  reg aclk, aresetn, s_axis_tvalid, m_axis_tready;
  wire [32:0] word = vectors[sent];
  wire s_axis_tready, m_axis_tvalid, m_axis_tlast;
  wire [31:0] m_axis_tdata;

  top dut (
    .aclk(aclk), .aresetn(aresetn),
    .s_axis_tdata(word[31:0]), .s_axis_tlast(word[32]),
    .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready),
    .m_axis_tdata(m_axis_tdata), .m_axis_tlast(m_axis_tlast),
    .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready),
    .s_axi_awaddr(8'd0), .s_axi_awprot(3'd0), .s_axi_awvalid(1'b0), .s_axi_awready(),
    .s_axi_wdata(32'd0), .s_axi_wstrb(4'd0), .s_axi_wvalid(1'b0), .s_axi_wready(),
    .s_axi_bresp(), .s_axi_bvalid(), .s_axi_bready(1'b0),
    .s_axi_araddr(8'd0), .s_axi_arprot(3'd0), .s_axi_arvalid(1'b0), .s_axi_arready(),
    .s_axi_rdata(), .s_axi_rresp(), .s_axi_rvalid(), .s_axi_rready(1'b0)
  );

  always #5 aclk = ~aclk;

  initial begin
    $readmemh("vectors.hex", vectors);
    $readmemh("expected.hex", expected);
    sent = 0;
    received = 0;
    quiet = 0;
    seed = 1;
    aclk = 0;
    aresetn = 0;
    s_axis_tvalid = 0;
    m_axis_tready = 0;
    repeat (8) @(posedge aclk);
    aresetn <= 1;
  end

  always @(posedge aclk) if (aresetn) begin
    m_axis_tready <= $random(seed) % 4 != 0;
    if (!s_axis_tvalid || s_axis_tready) begin
      if (s_axis_tvalid) sent <= sent + 1;
      s_axis_tvalid <= (sent + (s_axis_tvalid ? 1 : 0) < WORDS) && $random(seed) % 4 != 0;
    end
    quiet <= quiet + 1;
    if (m_axis_tvalid && m_axis_tready) begin
      quiet <= 0;
      if ({m_axis_tlast, m_axis_tdata} !== expected[received]) begin
        $display("FAIL: sample %0d, word %0d: expected %h, found %h", received / (CLASSES + 1),
                 received % (CLASSES + 1), expected[received], {m_axis_tlast, m_axis_tdata});
        $fatal;
      end
      received <= received + 1;
      if (received + 1 == RESULTS) begin
        $display("PASS: %0d samples", RESULTS / (CLASSES + 1));
        $finish;
      end
    end
    if (quiet == TIMEOUT) begin
      $display("FAIL: no result for %0d cycles, after %0d of %0d words", TIMEOUT, received, RESULTS);
      $fatal;
    end
  end
endmodule
