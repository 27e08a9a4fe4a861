/* The computational graph of batch normalization, stepped node by node, forward and back. */
(function () {
  "use strict";

  const sum = (a) => a.reduce((total, v) => total + v, 0);
  const both = (a, b, f) => a.map((v, i) => f(v, b[i]));

  /** Every value of the forward pass over one column x, by the name of its node. */
  function forward(x, gamma, beta, eps) {
    const v = { x, gamma, beta };
    v.mu = sum(x) / x.length;
    v.c = x.map((e) => e - v.mu);
    v.sq = v.c.map((e) => e * e);
    v.var = sum(v.sq) / x.length;
    v.std = Math.sqrt(v.var + eps);
    v.xh = v.c.map((e) => e / v.std);
    v.g = v.xh.map((e) => gamma * e);
    v.y = v.g.map((e) => e + beta);
    return v;
  }

  /** The gradient of every node, given those values and the upstream gradient. */
  function backward(v, dy) {
    const m = v.x.length;
    const d = { y: dy, g: dy, beta: sum(dy) };
    d.gamma = sum(both(dy, v.xh, (a, b) => a * b));
    d.xh = dy.map((e) => v.gamma * e);
    d.std = -sum(both(d.xh, v.c, (a, b) => a * b)) / v.std ** 2;
    d.var = d.std / (2 * v.std);
    d.sq = v.sq.map(() => d.var / m);
    d.direct = d.xh.map((e) => e / v.std);
    d.spread = both(v.c, d.sq, (a, b) => 2 * a * b);
    d.c = both(d.direct, d.spread, (a, b) => a + b);
    d.mu = -sum(d.c);
    d.level = v.x.map(() => d.mu / m);
    d.x = both(d.c, d.level, (a, b) => a + b);
    return d;
  }

  window.coursePush = window.coursePush || {};
  window.coursePush["bn-graph"] = { forward, backward };

  const root = document.getElementById("push-bn-graph");
  if (!root) return;

  const X = [1, 4, 7];
  const GAMMA = 2;
  const BETA = 1;
  const UPSTREAM = { given: () => [1, 0, 2], ones: () => [1, 1, 1], xh: (v) => v.xh };

  const num = (v) =>
    (Math.abs(v) < 5e-4 ? 0 : v).toFixed(3).replace(/\.?0+$/, "").replace("-", "−");
  const show = (v) => (Array.isArray(v) ? v.map(num).join(", ") : num(v));
  const row = (v) => `(${show(v)})`;

  // node, direction, arrows lit, what happens
  const STEPS = [
    ["x", "f", "", (v) => `The column x = ${row(v.x)} comes in.`],
    ["mu", "f", "x>mu", (v) => `The mean μ = ${show(v.mu)}. First use of x.`],
    ["c", "f", "x>c mu>c", (v) => `Subtract the mean: x − μ = ${row(v.c)}. Second use of x.`],
    ["sq", "f", "c>sq", (v) => `Square each entry: ${row(v.sq)}. First use of x − μ.`],
    ["var", "f", "sq>var", (v) => `Their mean is the variance, ${show(v.var)}.`],
    ["std", "f", "var>std", (v, d, eps) => `Add ε = ${eps} and take the root: std = ${show(v.std)}.`],
    ["xh", "f", "c>xh std>xh", (v) => `Divide: x̂ = ${row(v.xh)}. Second use of x − μ.`],
    ["g", "f", "xh>g gamma>g", (v) => `Scale by γ = ${v.gamma}: ${row(v.g)}.`],
    [
      "y",
      "f",
      "g>y beta>y",
      (v) => `Shift by β = ${v.beta}: y = ${row(v.y)}. The forward pass is done.`,
    ],
    ["y", "b", "", (v, d) => `From the loss comes dy = ${row(d.y)}.`],
    [
      "g",
      "b",
      "g>y beta>y",
      (v, d) =>
        `A sum hands its gradient on unchanged: d(γx̂) = ${row(d.g)}. β was used in every row, ` +
        `so its gradients add up: dβ = ${show(d.beta)}.`,
    ],
    [
      "xh",
      "b",
      "xh>g gamma>g",
      (v, d) =>
        "A product hands on the gradient times the other factor: " +
        `dx̂ = γ dy = ${row(d.xh)}, and dγ = Σ dy x̂ = ${show(d.gamma)}.`,
    ],
    [
      "std",
      "b",
      "std>xh",
      (v, d) => `Every row was divided by the std: dstd = −Σ dx̂ (x − μ) / std² = ${show(d.std)}.`,
    ],
    ["var", "b", "var>std", (v, d) => `The root: dvar = dstd / (2 std) = ${show(d.var)}.`],
    ["sq", "b", "sq>var", (v, d) => `A mean hands every entry one m-th: ${row(d.sq)}.`],
    [
      "c",
      "b",
      "c>sq c>xh",
      (v, d) =>
        `x − μ was used twice, so two gradients add up. Straight from x̂: ${row(d.direct)}. ` +
        `Through the variance: ${row(d.spread)}. Together: ${row(d.c)}.`,
    ],
    [
      "mu",
      "b",
      "mu>c",
      (v, d) => `The mean was subtracted from every row: dμ = −Σ d(x − μ) = ${show(d.mu)}.`,
    ],
    [
      "x",
      "b",
      "x>mu x>c",
      (v, d) =>
        `x was used twice as well. Straight: ${row(d.c)}. Through the mean: ${row(d.level)}. ` +
        `Together: dx = ${row(d.x)}, which sums to ${num(sum(d.x))}.`,
    ],
  ];

  const all = (selector) => [...root.querySelectorAll(selector)];
  const boxes = all("[data-n]");
  const arrows = all("[data-e]");
  const lines = Object.fromEntries(
    boxes.map((box) => [box.dataset.n, [...box.querySelectorAll("text")]]),
  );
  const formulas = Object.fromEntries(
    Object.entries(lines).map(([node, texts]) => [node, texts.map((text) => text.textContent)]),
  );
  const output = root.querySelector("output");
  const intro = output.textContent;
  const button = (go) => root.querySelector(`[data-go="${go}"]`);
  const chosen = (what) => root.querySelector(`select[data-s=${what}]`).value;
  let at = 0;

  function draw() {
    const eps = Number(chosen("eps"));
    const v = forward(X, GAMMA, BETA, eps);
    const d = backward(v, UPSTREAM[chosen("dy")](v));
    const done = STEPS.slice(0, at);
    const [here, way, lit, say] = STEPS[at - 1] || ["", "", "", null];
    const passed = (node, direction) => done.some(([n, w]) => n === node && w === direction);
    for (const [node, texts] of Object.entries(lines)) {
      const parameter = node === "gamma" || node === "beta";
      const back = { gamma: "xh", beta: "g" }[node] || node; // where its gradient is computed
      const known = at > 0 && (parameter || passed(node, "f"));
      texts[1].textContent = known ? `→ ${show(v[node])}` : formulas[node][1];
      texts[2].textContent = passed(back, "b") ? `← ${show(d[node])}` : formulas[node][2];
    }
    boxes.forEach((box) => box.setAttribute("class", box.dataset.n === here ? way : ""));
    arrows.forEach((arrow) => {
      const on = lit.split(" ").includes(arrow.dataset.e);
      arrow.setAttribute("class", on ? `e ${way}` : "e");
    });
    output.className = way;
    const direction = way === "f" ? "forward" : "backward";
    const words = say
      ? `Step ${at} of ${STEPS.length}, ${direction}. ${say(v, d, eps)}`
      : intro;
    if (output.textContent !== words) output.textContent = words; // nothing new, nothing announced
    button(-1).setAttribute("aria-disabled", at === 0);
    button(1).setAttribute("aria-disabled", at === STEPS.length);
  }

  for (const go of [-1, 1, 0]) {
    button(go).addEventListener("click", () => {
      at = go ? Math.min(STEPS.length, Math.max(0, at + go)) : 0;
      draw();
    });
  }
  all("select").forEach((select) => select.addEventListener("change", draw));
  all("[hidden]").forEach((part) => {
    part.hidden = false;
  });
  draw();
})();
