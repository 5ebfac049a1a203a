// The functions that JavaScript's Math lacks, in the same form as in microgradrnn/engine/rules/elementwise.py.
// A module gets only those that it calls. A blank line ends each; none of them calls another.

function sigmoid(x) { // e^x / (1 + e^x) keeps its relative accuracy for x << 0; from x = 40 on it is exactly 1
  const e = Math.exp(Math.min(x, 40));
  return e / (e + 1);
}

function softplus(x) { // log(1 + e^x), safe from overflow
  return Math.log1p(Math.exp(-Math.abs(x))) + Math.max(x, 0);
}

function relu(x) { // a NaN stays NaN
  return Math.max(x, 0);
}

function square(x) {
  return x * x;
}

function reciprocal(x) {
  return 1 / x;
}

function power(a, b) { // 1^b and (-1)^±∞ are 1, as in C; ** says NaN where b is NaN or infinite
  if (a === 1 || (a === -1 && Math.abs(b) === Infinity)) return 1;
  return a ** b;
}

function exp2(x) {
  return 2 ** x;
}

function remainder(a, b) { // with the sign of b, as in Python; % has the sign of a
  const r = a % b;
  return r !== 0 && r < 0 !== b < 0 ? r + b : r;
}

function logaddexp(a, b) { // log(e^a + e^b), safe from overflow; equal infinities have no difference
  if (a === b) return a + Math.LN2;
  return Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));
}

function round(x, decimals) { // halves go to the even neighbour
  const scale = 10 ** Math.abs(decimals);
  const y = decimals < 0 ? x / scale : x * scale;
  const low = Math.floor(y);
  const up = y - low > 0.5 || (y - low === 0.5 && low % 2 !== 0);
  const whole = Number.isFinite(y) ? low + (up ? 1 : 0) : y;
  return decimals < 0 ? whole * scale : whole / scale;
}

function erf(x) { // 2/√π e^(-x²) (x + 2/3 x³ + 4/15 x⁵ + ...): all terms have one sign, so nothing cancels
  if (!(Math.abs(x) < 6)) return Math.sign(x); // ±1 to the last digit, or NaN
  let term = x;
  let total = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(total); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    total += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total;
}
