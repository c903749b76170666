// An edge node made with the npm package sparkplug-client, which shares no code with the hub.
// Arguments: server URL, user, password, group, edge node, device. Standard input, a line each:
// "level N" sends a value of the device by alias, "stop" leaves. Standard output tells in JSON
// what was received: {"ncmd": [names]} or {"dcmd": [[name or alias, value]]}.
const [url, username, password, groupId, edgeNode, device] = process.argv.slice(2);
const client = require("sparkplug-client").newClient({
  serverUrl: url, username, password, groupId, edgeNode, clientId: `foreign-${edgeNode}`,
  version: "spBv1.0", publishDeath: true,
});
const now = () => Date.now();
let level = -3;
const metric = (extra) => ({ type: "Int16", alias: 7, timestamp: now(), value: level, ...extra });

const births = () => {
  client.publishNodeBirth({
    timestamp: now(),
    metrics: [
      { name: "Node Control/Rebirth", type: "Boolean", value: false, timestamp: now() },
      { name: "uptime", type: "UInt64", value: 1, alias: 1, timestamp: now() },
    ],
  });
  client.publishDeviceBirth(device, { timestamp: now(), metrics: [metric({ name: "level" })] });
};
const data = () => client.publishDeviceData(device, { timestamp: now(), metrics: [metric()] });
const tell = (what) => process.stdout.write(JSON.stringify(what) + "\n");

client.on("birth", births);
client.on("ncmd", (payload) => {
  tell({ ncmd: payload.metrics.map((each) => each.name) });
  if (payload.metrics.some((each) => each.name === "Node Control/Rebirth" && each.value)) births();
});
client.on("dcmd", (_device, payload) => {
  const written = payload.metrics[0];
  tell({ dcmd: [written.name || Number(written.alias), written.value] });
  level = written.value;
  data();
});
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const [word, value] = line.split(" ");
  if (word === "stop") return client.stop();
  level = Number(value);
  data();
});
