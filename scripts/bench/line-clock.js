/** A CLI for the benchmark of readers: a line with the time (microseconds since the epoch) at a steady pace. */
const [, , everyMs = '20', forMs = '10000'] = process.argv;
const microseconds = () => Math.round((performance.timeOrigin + performance.now()) * 1000);
const timer = setInterval(() => process.stdout.write(`at=${microseconds()};\n`), Number(everyMs));
setTimeout(() => clearInterval(timer), Number(forMs));
