/* Batch size against test error: a slider over the sizes that were measured reads the errors off. */
(function () {
  "use strict";

  /** What was measured at one batch size: {size, norms: [{name, error, stderr}, ...]}. */
  function read(data, index) {
    return {
      size: data.sizes[index],
      norms: data.norms.map((norm) => ({
        name: norm.name,
        error: norm.error[index],
        stderr: norm.stderr[index],
      })),
    };
  }

  /** How far a value lies from low (0) to high (1), on a logarithmic axis. */
  function place(value, low, high) {
    return Math.log(value / low) / Math.log(high / low);
  }

  /** How many times the error of the first norm is that of each, at one batch size. */
  function ratios(data, index) {
    return data.norms.map((norm) => data.norms[0].error[index] / norm.error[index]);
  }

  window.coursePush = window.coursePush || {};
  window.coursePush["batch-size"] = { read, place, ratios };

  const root = document.getElementById("push-batch-size");
  const source = document.getElementById("push-batch-size-data");
  if (!root || !source) return;
  const data = JSON.parse(source.textContent);

  const COLORS = ["#2f7fd0", "#d26a00", "#2f7fd0"];  // by norm, as in dlnorm.plotting
  const DASHES = ["none", "7 4", "2 4"];
  const WIDTH = 360;
  const HEIGHT = 220;
  const BOX = { left: 34, right: 344, top: 14, bottom: 176 };
  const TICKS = [1, 2, 5, 10, 20, 50, 90];

  const all = data.norms.flatMap((norm) => norm.error);
  const low = Math.max(...TICKS.filter((t) => t <= Math.min(...all)), 0.5);
  const high = Math.min(...TICKS.filter((t) => t >= Math.max(...all)), 100);
  const first = data.sizes[0];
  const last = data.sizes[data.sizes.length - 1];
  const across = (size) => BOX.left + 8 + place(size, first, last) * (BOX.right - BOX.left - 16);
  const up = (error) => BOX.bottom - place(error, low, high) * (BOX.bottom - BOX.top);

  root.insertAdjacentHTML(
    "beforeend",
    `<div class="push-row"><label for="push-batch-size-at">Batch size <span></span></label>
<input type="range" id="push-batch-size-at" min="0" max="${data.sizes.length - 1}" step="1" value="0"></div>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" style="max-width: 32rem; margin: 0.75rem auto 0"></svg>
<output aria-live="polite" for="push-batch-size-at"></output>`,
  );
  const slider = root.querySelector("input");
  const now = root.querySelector("label span");
  const svg = root.querySelector("svg");
  const output = root.querySelector("output");

  const line = (x1, y1, x2, y2, more) =>
    `<path d="M${x1} ${y1}L${x2} ${y2}" stroke="currentColor" fill="none" ${more}/>`;
  const text = (x, y, words, anchor, more) =>
    `<text x="${x}" y="${y}" text-anchor="${anchor}" ${more || ""}>${words}</text>`;
  const percent = (value) => value.toFixed(1);

  function frame() {
    let parts = line(BOX.left, BOX.bottom, BOX.right, BOX.bottom, "");
    for (const tick of TICKS.filter((t) => t >= low && t <= high)) {
      parts += line(BOX.left, up(tick), BOX.right, up(tick), 'opacity="0.2"');
      parts += text(BOX.left - 6, up(tick) + 4.5, tick, "end");
    }
    for (const size of data.sizes) parts += text(across(size), BOX.bottom + 17, size, "middle");
    parts += text((BOX.left + BOX.right) / 2, BOX.bottom + 36, "batch size", "middle");
    parts += text(BOX.right, 12, "test error, %", "end");
    return parts;
  }

  function curves() {
    return data.norms
      .map((norm, k) => {
        const path = norm.error.map((e, i) => `${across(data.sizes[i])} ${up(e)}`).join("L");
        return (
          `<path d="M${path}" fill="none" stroke="${COLORS[k]}" stroke-width="2.5" ` +
          `stroke-dasharray="${DASHES[k]}"/>`
        );
      })
      .join("");
  }

  const still = frame() + curves();

  function draw() {
    const index = Number(slider.value);
    const here = read(data, index);
    const x = across(here.size);
    let parts = still + line(x, BOX.top, x, BOX.bottom, 'stroke-dasharray="3 3"');
    here.norms.forEach((norm, k) => {
      parts += `<circle cx="${x}" cy="${up(norm.error)}" r="5.5" fill="${COLORS[k]}"/>`;
    });
    svg.innerHTML = parts;
    now.textContent = here.size;
    slider.setAttribute("aria-valuetext", `batch size ${here.size}`);
    output.replaceChildren(`Batch size ${here.size}, mean of ${data.seeds} seeds: `);
    here.norms.forEach((norm, k) => {
      const key = document.createElement("span");
      key.style.cssText =
        `display: inline-block; width: 0.7em; height: 0.7em; border-radius: 50%; ` +
        `background: ${COLORS[k]}; margin: 0 0.3em 0 0`;
      const end = k + 1 < here.norms.length ? "; " : ". ";
      const item = document.createElement("span");  // a dot and its words stay together
      item.style.display = "inline-block";
      item.append(key, `${norm.name} ${percent(norm.error)} ± ${percent(norm.stderr)} %`);
      output.append(item, end);
    });
    const times = ratios(data, index)[1];
    output.append(
      times > 1
        ? `${capital(here.norms[0].name)} has ${percent(times)} times the errors of ${here.norms[1].name}.`
        : `${capital(here.norms[1].name)} has ${percent(1 / times)} times the errors of ${here.norms[0].name}.`,
    );
    svg.setAttribute(
      "aria-label",
      "Test error against batch size, both logarithmic, a curve per arm; marked are the errors at " +
        `batch size ${here.size}.`,
    );
  }

  function capital(words) {
    return words[0].toUpperCase() + words.slice(1);
  }

  slider.addEventListener("input", draw);
  draw();
  root.hidden = false;
})();
