"use strict";
(() => {
  const source = document.getElementById("samples-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const find = (id) => document.getElementById(id);
  const state = { sample: 0, layer: 0, frame: 0, playing: true };

  // Marks are made by name and attributes, text is set as text: nothing is parsed as HTML.
  const mark = (name, attributes, parent, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };
  const element = (name, className, parent, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };
  const picture = (width, height, parent, label, stretch) => mark("svg", {
    viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label,
    ...(stretch ? { preserveAspectRatio: "none" } : {}),
  }, parent);
  // As wide as the margin beside a picture, whatever the threshold.
  const compact = (value) => value.toLocaleString("en", Math.abs(value) < 1e5 ? {} : { notation: "compact", maximumSignificantDigits: 3 });
  const percent = (value) => `${(100 * value).toFixed(1)} %`;

  // Bit after bit, the first in the highest place of its byte.
  const bits = (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return (index) => (bytes[index >> 3] >> (7 - (index & 7))) & 1;
  };

  function showInput() {
    const sample = data.samples[state.sample];
    state.frame %= sample.frames.length;
    find("input").src = sample.frames[state.frame];
  }

  function showSample() {
    const sample = data.samples[state.sample];
    document.querySelectorAll(".sample").forEach((button, index) => {
      button.setAttribute("aria-selected", String(index === state.sample));
    });
    state.frame = 0;
    showInput();
    const verdict = find("verdict");
    const right = sample.label === sample.predicted;
    verdict.replaceChildren();
    element("span", "", verdict, `test sample ${sample.index}: expected ${sample.label}, predicted `);
    element("span", right ? "good" : "bad", verdict, String(sample.predicted));
    verdict.dataset.expected = sample.label;
    verdict.dataset.predicted = sample.predicted;
    const scores = find("scores");
    const low = Math.min(...sample.scores);
    const span = Math.max(...sample.scores) - low || 1;
    scores.replaceChildren();
    sample.scores.forEach((score, index) => {
      const row = element("div", "score", scores);
      if (index === sample.label) row.classList.add("expected");
      if (index === sample.predicted) row.classList.add(right ? "predicted" : "mistaken");
      element("span", "", row, String(index));
      element("i", "", element("span", "bar", row)).style.width = `${(100 * (score - low)) / span}%`;
      element("b", "", row, score.toLocaleString("en"));
    });
    showHeat();
    showLayer();
  }

  function showHeat() {
    const place = find("heat");
    place.replaceChildren();
    const wide = data.layers.length, tall = data.steps;
    const svg = picture(wide, tall, place, "spikes of each layer over time", true);
    const gap = wide > 120 ? 0 : 0.06;
    // The full colour is the highest rate on this sample: silent layers and busy ones differ.
    const most = Math.max(...data.layers.map((layer) => Math.max(...layer.counts[state.sample]) / layer.size));
    find("most").textContent = percent(most);
    data.layers.forEach((layer, x) => layer.counts[state.sample].forEach((count, y) => {
      const rate = count / layer.size;
      const cell = mark("rect", { x: x + gap / 2, y: y + 0.03, width: 1 - gap, height: 0.94,
        fill: "var(--c1)", "fill-opacity": (count ? 0.14 + 0.86 * (rate / most) : 0.04).toFixed(3) }, svg);
      cell.dataset.layer = x;
      mark("title", {}, cell, `${layer.name}, timestep ${y}: ${count} of ${layer.size} fire`);
    }));
    mark("rect", { class: "chosen", x: state.layer, y: 0, width: 1, height: tall,
      "stroke-width": 2.5, "vector-effect": "non-scaling-stroke" }, svg);
    svg.addEventListener("click", (event) => {
      const cell = event.target.closest("[data-layer]");
      if (cell) chooseLayer(Number(cell.dataset.layer));
    });
  }

  function showLayer() {
    const layer = data.layers[state.layer];
    find("layer").value = String(state.layer);
    const chosen = document.querySelector("#heat .chosen");
    if (chosen) chosen.setAttribute("x", state.layer);
    const total = layer.counts[state.sample].reduce((a, b) => a + b, 0);
    const rate = total / (layer.size * data.steps);
    find("about").textContent = `${layer.size.toLocaleString("en")} neurons, ` +
      `${total.toLocaleString("en")} spikes on this sample (${percent(rate)}), ` +
      `${percent(layer.rate)} on all; ${layer.silent.toLocaleString("en")} never fire`;
    const fired = bits(layer.spikes[state.sample]);
    showRaster(layer, fired);
    showMembranes(layer, fired);
    showRates(layer);
  }

  function axis(svg, left, width, y) {
    const every = Math.max(1, Math.ceil(data.steps / 10));
    for (let t = 0; t < data.steps; t += every) {
      mark("text", { x: left + ((t + 0.5) * width) / data.steps, y, "text-anchor": "middle" }, svg, t);
    }
  }

  function showRaster(layer, fired) {
    const place = find("raster");
    place.replaceChildren();
    const left = 42, width = 292, count = layer.picked.length;
    const row = Math.max(2.4, Math.min(12, 230 / count)), height = row * count;
    const svg = picture(left + width + 6, height + 18, place, "spike raster");
    mark("rect", { x: left, y: 0, width, height, fill: "var(--soft)" }, svg);
    const slot = width / data.steps;
    let d = "";
    for (let n = 0; n < count; n += 1) {
      for (let t = 0; t < data.steps; t += 1) {
        if (fired(n * data.steps + t)) {
          d += `M${(left + t * slot + 0.6).toFixed(1)},${((n + 0.5) * row).toFixed(1)}h${(slot - 1.2).toFixed(1)}`;
        }
      }
    }
    mark("path", { d, stroke: "var(--c1)", "stroke-width": (row * 0.78).toFixed(2), class: "spikes" }, svg);
    [0, count - 1].forEach((n) => mark("text", {
      x: left - 4, y: Math.min(height, Math.max(9, (n + 0.5) * row + 4)), "text-anchor": "end" }, svg, layer.picked[n]));
    axis(svg, left, width, height + 14);
    if (count < layer.size) {
      element("small", "note", place, `${count} of ${layer.size.toLocaleString("en")} neurons`);
    }
  }

  function showMembranes(layer, fired) {
    const place = find("membranes");
    place.replaceChildren();
    const left = 52, width = 282, height = 44, slot = width / data.steps;
    layer.traced.forEach((neuron, k) => {
      const values = layer.membranes[state.sample][k];
      const threshold = layer.thresholds && layer.thresholds[k];
      const raised = layer.raised && layer.raised[state.sample][k];
      const levels = threshold === null ? [] : values.map((_, t) => threshold + (raised ? raised[t] : 0));
      const all = [...values, ...levels];
      const low = Math.min(0, ...all), high = Math.max(0, ...all), span = high - low || 1;
      const x = (t) => left + (t + 0.5) * slot;
      const y = (value) => 3 + (height - 6) * (1 - (value - low) / span);
      const last = k === layer.traced.length - 1;
      const svg = picture(left + width + 6, height + (last ? 16 : 0), place, `membrane of neuron ${neuron}`);
      mark("rect", { x: left, y: 0, width, height, fill: "var(--soft)" }, svg);
      mark("path", { d: `M${left},${y(0)}h${width}`, stroke: "var(--line)" }, svg);
      if (threshold !== null) {
        const steps = levels.map((level, t) => `${(left + t * slot).toFixed(1)},${y(level).toFixed(1)}h${slot.toFixed(1)}`);
        mark("path", { d: raised ? `M${steps.join("L")}` : `M${left},${y(threshold)}h${width}`, fill: "none", stroke: "var(--c2)", "stroke-dasharray": "4 3", class: "threshold" }, svg);
      }
      mark("path", { d: `M${values.map((v, t) => `${x(t).toFixed(1)},${y(v).toFixed(1)}`).join("L")}`,
        fill: "none", stroke: "var(--c1)", "stroke-width": 1.6, class: "trace" }, svg);
      const place0 = layer.picked.indexOf(neuron);
      values.forEach((v, t) => {
        if (fired(place0 * data.steps + t)) mark("circle", { cx: x(t), cy: y(v), r: 3, fill: "var(--c2)" }, svg);
      });
      mark("text", { x: left - 4, y: height / 2 - 3, "text-anchor": "end" }, svg, `#${neuron}`);
      if (threshold !== null) {
        mark("text", { x: left - 4, y: height / 2 + 11, "text-anchor": "end", class: "level" }, svg, `θ ${compact(threshold)}`);
      }
      if (last) axis(svg, left, width, height + 13);
    });
  }

  function showRates(layer) {
    const place = find("rates");
    place.replaceChildren();
    const left = 42, width = 292, height = 110, most = Math.max(...layer.rates) || 1;
    const svg = picture(left + width + 6, height + 20, place, "histogram of firing rates");
    layer.rates.forEach((count, n) => {
      const tall = (height - 14) * (count / most), slot = width / layer.rates.length;
      const bar = mark("rect", { x: left + n * slot + 1, y: height - tall, width: slot - 2, height: tall, fill: "var(--c3)" }, svg);
      mark("title", {}, bar, `${count} neurons`);
      if (count) mark("text", { x: left + (n + 0.5) * slot, y: height - tall - 3, "text-anchor": "middle" }, svg, count.toLocaleString("en"));
    });
    mark("path", { d: `M${left},${height}h${width}`, stroke: "var(--line)" }, svg);
    ["0 %", "50 % of timesteps", "100 %"].forEach((text, n) => mark("text", {
      x: left + (n * width) / 2, y: height + 14, "text-anchor": ["start", "middle", "end"][n] }, svg, text));
  }

  function chooseLayer(layer) {
    state.layer = (layer + data.layers.length) % data.layers.length;
    showLayer();
  }

  find("chooser").addEventListener("click", (event) => {
    const button = event.target.closest("[data-sample]");
    if (button) { state.sample = Number(button.dataset.sample); showSample(); }
  });
  find("layer").addEventListener("change", (event) => chooseLayer(Number(event.target.value)));
  find("earlier").addEventListener("click", () => chooseLayer(state.layer - 1));
  find("later").addEventListener("click", () => chooseLayer(state.layer + 1));
  const play = find("play");
  if (play) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) state.playing = false;
    play.textContent = state.playing ? "pause" : "play";
    play.addEventListener("click", () => {
      state.playing = !state.playing;
      play.textContent = state.playing ? "pause" : "play";
    });
    setInterval(() => { if (state.playing) { state.frame += 1; showInput(); } }, 160);
  }
  if (data.layers.length) showSample();
})();
