// A Modbus TCP server made with the npm package modbus-serial, which shares no code with the hub.
// Argument: port. Units 1 and 2, each with 1,000 addresses a table; another unit gets exception 11.
// Standard input, JSON a line, each answered by a line of standard output, in order:
//   {"set": [unit, table, address, [values]]}   {"get": [unit, table, address, size]}
//   {"refuse": [unit, function, exception]}: 0 answers again
//   {"count": period_ms}: unit 1, holding 100 and 101 (high word first), goes up; 0 stops it
//   {"restart": [down_ms, [[unit, table, address, [values]], ...]]}: drop every connection, refuse
//     new ones for so long, begin anew with these values and zeros
// Unit 1, holding 102 to 105: the milliseconds since 1970 at which the server read its registers.
const { ServerTCP } = require("modbus-serial");

const ADDRESSES = 1_000;
const [COUNTER, NOW] = [100, 102];
const TABLES = ["coil", "discrete", "holding", "input"];
const units = {};
const clear = () => {
  for (const unit of [1, 2]) {
    units[unit] = Object.fromEntries(TABLES.map((name) => [name, Array(ADDRESSES).fill(0)]));
  }
};
const refusals = {};
const exception = (modbusErrorCode) => Object.assign(new Error("refused"), { modbusErrorCode });

const words = (value, size) => Array.from({ length: size }, (_, place) =>
  Number((BigInt(value) >> BigInt(16 * (size - 1 - place))) & 0xffffn));
const put = (values, address, news) => values.splice(address, news.length, ...news);

const table = (unit, name, code, address, size) => {
  if (!(unit in units)) throw exception(11);
  if (refusals[`${unit}/${code}`]) throw exception(refusals[`${unit}/${code}`]);
  if (address + size > ADDRESSES) throw exception(2);
  return units[unit][name];
};
const read = (name, code) => (address, size, unit) => {
  const values = table(unit, name, code, address, size);
  if (unit === 1 && name === "holding") put(values, NOW, words(Date.now(), 4));
  return values.slice(address, address + size);
};
const write = (name, code) => (address, news, unit) => {
  put(table(unit, name, code, address, news.length), address, news);
};
const one = (many) => (address, unit) => many(address, 1, unit)[0];
const single = (many) => (address, value, unit) => many(address, [value], unit);

const vector = {
  getCoil: one(read("coil", 1)),
  getDiscreteInput: one(read("discrete", 2)),
  getHoldingRegister: one(read("holding", 3)),
  getMultipleHoldingRegisters: read("holding", 3),
  getInputRegister: one(read("input", 4)),
  getMultipleInputRegisters: read("input", 4),
  setCoil: single(write("coil", 5)),
  setRegister: single(write("holding", 6)),
  setRegisterArray: write("holding", 16),
};

let server;
const listen = () => new Promise((done) => {
  server = new ServerTCP(vector, { host: "127.0.0.1", port: Number(process.argv[2]) });
  server.on("socketError", (error) => console.error(error.message));
  server.on("initialized", done);
});
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

let count = 0;
let counting;
const step = () => put(units[1].holding, COUNTER, words(++count, 2));
const orders = {
  set: ([unit, name, address, values]) => (put(units[unit][name], address, values), {}),
  get: ([unit, name, address, size]) => (
    { values: units[unit][name].slice(address, address + size) }),
  refuse: ([unit, code, exceptionCode]) => ((refusals[`${unit}/${code}`] = exceptionCode), {}),
  count: (periodMs) => {
    clearInterval(counting);
    if (periodMs) counting = setInterval(step, periodMs);
    return { count };
  },
  restart: async ([downMs, sets]) => {
    await new Promise((done) => server.close(done));
    clear();
    sets.forEach(orders.set);
    await pause(downMs);
    await listen();
    return {};
  },
};
const tell = (what) => process.stdout.write(JSON.stringify(what) + "\n");

(async () => {
  clear();
  await listen();
  tell({ port: Number(process.argv[2]) });
  const lines = require("node:readline").createInterface({ input: process.stdin });
  for await (const line of lines) {
    const [[word, what]] = Object.entries(JSON.parse(line));
    tell(await orders[word](what));
  }
  process.exit(0);
})();
