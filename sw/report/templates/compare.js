"use strict";
(() => {
  const number = (cell) => {
    const value = JSON.parse(cell.querySelector(".figure").dataset.value);
    return typeof value === "number" ? value : null;
  };
  const written = (difference, form) => {
    const sign = difference > 0 ? "+" : "−", size = Math.abs(difference);
    if (form === "share") return `${sign}${(100 * size).toFixed(2)} points`;
    if (form === "mhz") return `${sign}${size.toFixed(2)} MHz`;
    if (form === "seconds" && size < 90) return `${sign}${size.toFixed(1)} s`;
    if (form === "seconds") return `${sign}${(size / 60).toFixed(0)} min`;
    return `${sign}${size.toLocaleString("en", { maximumFractionDigits: 0 })}`;
  };

  // Accuracies on different data are no better or worse than one another.
  const data = (run) => document.querySelector(`td.run-${run} .figure[data-key="data.set"]`)?.dataset.value;

  function differ() {
    const reference = document.querySelector("[name=reference]:checked").value;
    document.querySelectorAll("tr[data-better]").forEach((row) => {
      const better = Number(row.dataset.better);
      const from = number(row.querySelector(`td.run-${reference}`));
      row.querySelectorAll("td").forEach((cell, run) => {
        const delta = cell.querySelector(".delta"), value = number(cell);
        const form = cell.querySelector(".figure").dataset.form;
        const difference = from === null || value === null || form === "text" ? 0 : value - from;
        delta.className = "delta";
        delta.textContent = difference ? written(difference, form) : "";
        const alike = form !== "share" || data(run) === data(reference);
        if (difference && better && alike) delta.classList.add(difference * better > 0 ? "better" : "worse");
      });
    });
  }

  document.getElementById("choices").addEventListener("change", (event) => {
    const run = event.target.dataset.show;
    if (run === undefined) { differ(); return; }
    document.querySelectorAll(`.run-${run}`).forEach((part) => part.classList.toggle("gone", !event.target.checked));
  });
  differ();
})();
