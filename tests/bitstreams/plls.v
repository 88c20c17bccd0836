// Stand-ins: the simulated clock is already what the PLL makes.

module SB_PLL40_PAD #(
  parameter FEEDBACK_PATH = "", parameter [3:0] DIVR = 0, parameter [6:0] DIVF = 0,
  parameter [2:0] DIVQ = 0, parameter [2:0] FILTER_RANGE = 0
) (
  input PACKAGEPIN, input RESETB, input BYPASS, output PLLOUTGLOBAL, output reg LOCK = 0
);
  assign PLLOUTGLOBAL = PACKAGEPIN;
  reg [6:0] waited = 0;
  always @(posedge PACKAGEPIN) begin
    waited <= waited + {6'd0, ~LOCK};
    LOCK <= LOCK | &waited;
  end
endmodule

module EHXPLLL #(
  parameter PLLRST_ENA = "", parameter INTFB_WAKE = "", parameter STDBY_ENABLE = "",
  parameter DPHASE_SOURCE = "", parameter OUTDIVIDER_MUXA = "", parameter FEEDBK_PATH = "",
  parameter CLKI_DIV = 0, parameter CLKFB_DIV = 0, parameter CLKOP_ENABLE = "",
  parameter CLKOP_DIV = 0, parameter CLKOP_CPHASE = 0, parameter CLKOP_FPHASE = 0
) (
  input RST, input STDBY, input CLKI, input CLKFB, input PHASESEL0, input PHASESEL1,
  input PHASEDIR, input PHASESTEP, input PHASELOADREG, input PLLWAKESYNC, input ENCLKOP,
  output CLKOP, output reg LOCK = 0
);
  assign CLKOP = CLKI;
  reg [6:0] waited = 0;
  always @(posedge CLKI) begin
    waited <= waited + {6'd0, ~LOCK};
    LOCK <= LOCK | &waited;
  end
endmodule
