/* Which entries of a batch share a mean and a variance: choose the norm, the groups, an entry. */
(function () {
  "use strict";

  const NORMS = { BN: "batch norm", LN: "layer norm", IN: "instance norm", GN: "group norm" };
  const AXES = {
    BN: ["N", "H", "W"],
    LN: ["C", "H", "W"],
    IN: ["H", "W"],
    GN: ["C/G", "H", "W"],
  };

  /** Whether entries i and j, each [n, c, h, w] of an array of this shape, share statistics. */
  function sharesStatistics(norm, G, shape, i, j) {
    const size = shape[1] / groups(norm, G, shape);
    const sameSample = norm === "BN" || i[0] === j[0];
    return sameSample && Math.floor(i[1] / size) === Math.floor(j[1] / size);
  }

  /** How many groups of channels are normalized apart: batch norm's are single channels too. */
  function groups(norm, G, shape) {
    return { BN: shape[1], LN: 1, IN: shape[1], GN: G }[norm];
  }

  /** How many entries share a mean with any one entry, itself among them: m. */
  function count(norm, G, shape) {
    const [n, c, h, w] = shape;
    return (norm === "BN" ? n : 1) * (c / groups(norm, G, shape)) * h * w;
  }

  /** How many means there are in all. */
  function statistics(norm, G, shape) {
    return (norm === "BN" ? 1 : shape[0]) * groups(norm, G, shape);
  }

  /** Where the entries lie that share a mean with entry i, in words. */
  function where(norm, G, shape, i) {
    const size = shape[1] / groups(norm, G, shape);
    const first = Math.floor(i[1] / size) * size + 1;
    const last = first + size - 1;
    let channels = `channels ${first} ${size === 2 ? "and" : "to"} ${last}`;
    if (size === 1) channels = `channel ${first}`;
    if (size === shape[1]) channels = "all channels";
    return `all pixels of ${channels} in ${norm === "BN" ? "all samples" : `sample ${i[0] + 1}`}`;
  }

  window.coursePush = window.coursePush || {};
  window.coursePush.axes = { sharesStatistics, count, statistics, where };

  const root = document.getElementById("push-axes");
  if (!root) return;

  const SHAPE = [4, 6, 3, 3];
  const [N, C, H, W] = SHAPE;
  const SIZE = { N, C, H, W };
  const CELL = 56;
  const PIXEL = 16;
  const LEFT = 22;
  const TOP = 22;
  const ON = "#2f7fd0";
  const CHOSEN = "#d26a00";
  const OFF = "#808890";

  const radios = Object.entries(NORMS)
    .map(
      ([key, name]) =>
        `<label><input type="radio" name="push-axes-norm" value="${key}"` +
        `${key === "BN" ? " checked" : ""}> ${name}</label>`,
    )
    .join("");
  const slider = (id, name, last, value) =>
    `<label for="push-axes-${id}">${name} <span id="push-axes-${id}-now"></span></label>` +
    `<input type="range" id="push-axes-${id}" min="1" max="${last}" step="1" value="${value}">`;
  root.insertAdjacentHTML(
    "beforeend",
    `<fieldset><legend>Norm</legend>${radios}</fieldset>
<div class="push-row">
<label for="push-axes-G">Groups G</label>
<div><select id="push-axes-G"><option>1</option><option>2</option><option selected>3</option><option>6</option></select></div>
${slider("n", "Sample", N, 2)}
${slider("c", "Channel", C, 3)}
${slider("p", "Pixel", H * W, 5)}
</div>
<svg viewBox="0 0 ${LEFT + C * CELL + 2} ${TOP + N * CELL + 2}" role="img"
  style="max-width: 30rem; margin: 0.75rem auto 0; cursor: pointer"></svg>
<output aria-live="polite" for="push-axes-G push-axes-n push-axes-c push-axes-p"></output>`,
  );
  const find = (id) => root.querySelector("#push-axes-" + id);
  const svg = root.querySelector("svg");
  const output = root.querySelector("output");
  const entries = [];
  for (let n = 0; n < N; n++) {
    for (let c = 0; c < C; c++) {
      for (let p = 0; p < H * W; p++) entries.push([n, c, Math.floor(p / W), p % W]);
    }
  }

  // drawn once: a table of samples (rows) and channels (columns), each cell the pixels of both
  const label = (x, y, text, anchor) =>
    `<text x="${x}" y="${y}" text-anchor="${anchor}">${text}</text>`;
  let parts = "";
  for (let c = 0; c < C; c++) parts += label(LEFT + (c + 0.5) * CELL, 13, c + 1, "middle");
  for (let n = 0; n < N; n++) {
    parts += label(LEFT - 8, TOP + (n + 0.5) * CELL + 3, n + 1, "end");
  }
  for (const [n, c, h, w] of entries) {
    const x = LEFT + c * CELL + 3 + w * (PIXEL + 1);
    const y = TOP + n * CELL + 3 + h * (PIXEL + 1);
    parts += `<rect x="${x}" y="${y}" width="${PIXEL}" height="${PIXEL}" rx="2"/>`;
  }
  svg.innerHTML = parts;
  const boxes = [...svg.querySelectorAll("rect")];

  function draw() {
    const norm = root.querySelector("input[name=push-axes-norm]:checked").value;
    const G = Number(find("G").value);
    const pixel = Number(find("p").value) - 1;
    const chosen = [
      Number(find("n").value) - 1,
      Number(find("c").value) - 1,
      Math.floor(pixel / W),
      pixel % W,
    ];
    find("G").disabled = norm !== "GN";
    find("G").style.opacity = norm === "GN" ? "" : "0.5";
    for (const id of ["n", "c", "p"]) find(id + "-now").textContent = find(id).value;
    entries.forEach((entry, k) => {
      const on = sharesStatistics(norm, G, SHAPE, chosen, entry);
      const self = entry.every((v, a) => v === chosen[a]);
      boxes[k].setAttribute("fill", self ? CHOSEN : on ? ON : OFF);
      boxes[k].setAttribute("fill-opacity", on ? "1" : "0.25");
    });
    const m = count(norm, G, SHAPE);
    const means = statistics(norm, G, SHAPE);
    const sizes = AXES[norm].map((axis) => (axis === "C/G" ? C / G : SIZE[axis]));
    const name = NORMS[norm] + (norm === "GN" ? ` with G = ${G}` : "");
    const said =
      `${name[0].toUpperCase()}${name.slice(1)}: m = ${AXES[norm].join(" · ")} = ` +
      `${sizes.join(" · ")} = ${m} entries share the mean and the variance of the orange one, ` +
      `itself included: ${where(norm, G, SHAPE, chosen)}. There are ${means} means, and ${means} · ${m} = ${entries.length} entries.`;
    const same = { 1: " This is layer norm.", [C]: " This is instance norm." };
    output.textContent = said + ((norm === "GN" && same[G]) || "");
    svg.setAttribute(
      "aria-label",
      `A table of ${N} samples by ${C} channels with ${H * W} pixels each; ${m} of the ` +
        `${entries.length} entries are lit, ${where(norm, G, SHAPE, chosen)}. Orange is pixel ` +
        `${pixel + 1} of channel ${chosen[1] + 1} in sample ${chosen[0] + 1}.`,
    );
  }

  // for whom a pointer is at hand; the sliders do the same
  svg.addEventListener("click", (event) => {
    const k = boxes.indexOf(event.target);
    if (k < 0) return;
    const [n, c, h, w] = entries[k];
    find("n").value = n + 1;
    find("c").value = c + 1;
    find("p").value = h * W + w + 1;
    draw();
  });
  root.addEventListener("input", draw);
  draw();
  root.hidden = false;
})();
