// The toy design of conftest.py: 6 inputs, 4 LIF neurons, spike count. Behavioural on purpose.
module \top.core.fc (input clk, input valid, input [35:0] data);
  wire probe_current_valid = valid;
  wire [35:0] probe_current = data;
endmodule

module \top.core.lif1 (input clk, input valid, input [35:0] data, input [2:0] spikes);
  wire probe_membrane_valid = valid;
  wire [35:0] probe_membrane = data;
  wire probe_spike_valid = valid;
  wire [2:0] probe_spike = spikes;
endmodule

module \top.core.out (input clk, input valid, input [27:0] data);
  wire probe_score_valid = valid;
  wire [27:0] probe_score = data;
endmodule

module top(
  input aclk, input aresetn,
  input [31:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready, input s_axis_tlast,
  output [31:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready, output m_axis_tlast,
  input [7:0] s_axi_awaddr, input [2:0] s_axi_awprot, input s_axi_awvalid, output s_axi_awready,
  input [31:0] s_axi_wdata, input [3:0] s_axi_wstrb, input s_axi_wvalid, output s_axi_wready,
  output [1:0] s_axi_bresp, output reg s_axi_bvalid, input s_axi_bready,
  input [7:0] s_axi_araddr, input [2:0] s_axi_arprot, input s_axi_arvalid, output s_axi_arready,
  output reg [31:0] s_axi_rdata, output [1:0] s_axi_rresp, output reg s_axi_rvalid,
  input s_axi_rready
);
  reg signed [4:0] w [0:23];
  reg signed [8:0] acc [0:3];
  reg signed [11:0] u [0:3];
  reg [6:0] score [0:3];
  reg [3:0] fired, spike;
  reg first, last, packed_mode;
  reg [2:0] state, index;
  reg [1:0] best;
  reg [31:0] samples, saturations;
  reg [63:0] cycles;
  integer i, j;
  reg signed [15:0] v;

  initial begin
/*WEIGHTS*/
  end

  localparam TAKE = 0, STEP = 1, EMIT0 = 2, EMIT1 = 3, SEND = 4;
  assign s_axis_tready = state == TAKE;
  assign m_axis_tvalid = state == SEND;
  assign m_axis_tdata = index == 4 ? {30'd0, best} : {25'd0, score[index[1:0]]};
  assign m_axis_tlast = index == 4;
  wire busy = !(state == TAKE && first) || s_axis_tvalid;

  always @(posedge aclk) begin
    if (busy) cycles <= cycles + 1;
    case (state)
      TAKE: if (s_axis_tvalid) begin
        if (packed_mode) begin
          for (i = 0; i < 4; i = i + 1) begin
            v = 0;
            for (j = 0; j < 6; j = j + 1) if (s_axis_tdata[j]) v = v + w[i * 6 + j];
            acc[i] <= v[8:0];
          end
          state <= STEP;
        end else if (s_axis_tdata[31]) state <= STEP;
        else for (i = 0; i < 4; i = i + 1) acc[i] <= acc[i] + w[i * 6 + s_axis_tdata[15:0]];
        last <= s_axis_tlast || !packed_mode && s_axis_tdata[30];
      end
      STEP: begin
        for (i = 0; i < 4; i = i + 1) begin
          v = (first ? 0 : (u[i] * 7) >>> 3) + acc[i] - (!first && fired[i] ? /*THRESHOLD*/ : 0);
          if (v > 2047) begin v = 2047; saturations <= saturations + 1; end
          if (v < -2048) begin v = -2048; saturations <= saturations + 1; end
          u[i] <= v[11:0];
          fired[i] <= v > /*THRESHOLD*/;
          score[i] <= (first ? 0 : score[i]) + (v > /*THRESHOLD*/ ? 1 : 0);
          acc[i] <= 0;
        end
        state <= EMIT0;
      end
      EMIT0: state <= EMIT1;
      EMIT1: begin
        first <= last;
        index <= 0;
        best = 0;
        for (i = 1; i < 4; i = i + 1) if (score[i] > score[best]) best = i[1:0];
        state <= last ? SEND : TAKE;
      end
      SEND: if (m_axis_tready) begin
        index <= index + 1;
        if (index == 4) begin
          samples <= samples + 1;
          state <= TAKE;
        end
      end
      default: state <= TAKE;
    endcase
    if (!aresetn) begin
      state <= TAKE;
      first <= 1;
      samples <= 0;
      saturations <= 0;
      cycles <= 0;
      for (i = 0; i < 4; i = i + 1) acc[i] <= 0;
    end
  end

  \top.core.fc fc(.clk(aclk), .valid(state == STEP), .data({acc[3], acc[2], acc[1], acc[0]}));
  \top.core.lif1 lif1(
    .clk(aclk), .valid(state == EMIT0 || state == EMIT1),
    .data(state == EMIT0 ? {u[2], u[1], u[0]} : {24'h123456, u[3]}),
    .spikes(state == EMIT0 ? fired[2:0] : {2'b11, fired[3]})
  );
  \top.core.out out(
    .clk(aclk), .valid(state == EMIT0), .data({score[3], score[2], score[1], score[0]})
  );

  // Registers
  assign s_axi_awready = s_axi_awvalid && s_axi_wvalid && !s_axi_bvalid;
  assign s_axi_wready = s_axi_awready;
  assign s_axi_arready = s_axi_arvalid && !s_axi_rvalid;
  assign s_axi_bresp = 0;
  assign s_axi_rresp = 0;
  reg [31:0] register;
  always @* begin
    case (s_axi_araddr)
      8'h00: register = 32'h52534c46;
      8'h04: register = 32'h00000100;
      8'h08: register = {31'd0, packed_mode};
      8'h0c: register = {31'd0, busy};
      8'h10: register = 6;
      8'h14: register = 4;
      8'h18: register = 64;
      8'h1c: register = 1;
      8'h20: register = saturations;
      8'h24: register = cycles[31:0];
      8'h28: register = cycles[63:32];
      8'h2c: register = samples;
/*DIGEST*/
      default: register = 0;
    endcase
  end
  always @(posedge aclk) begin
    if (s_axi_awready) begin
      s_axi_bvalid <= 1;
      if (s_axi_awaddr == 8'h08) packed_mode <= s_axi_wdata[0];
    end else if (s_axi_bready) s_axi_bvalid <= 0;
    if (s_axi_arready) begin
      s_axi_rvalid <= 1;
      s_axi_rdata <= register;
    end else if (s_axi_rready) s_axi_rvalid <= 0;
    if (!aresetn) begin
      s_axi_bvalid <= 0;
      s_axi_rvalid <= 0;
      packed_mode <= 0;
    end
  end
endmodule
