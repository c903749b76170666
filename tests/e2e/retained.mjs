// Prints what the npm `mqtt` client sees retained over WebSocket: {topic: payload}.
import mqtt from "../node/node_modules/mqtt/build/index.js";

const [url, username, password, filter, quietMs] = process.argv.slice(2);
const found = {};
const client = mqtt.connect(url, { username, password, protocolVersion: 4, clean: true });
let timer;
const finish = () => {
  client.end(true);
  process.stdout.write(JSON.stringify(found) + "\n", () => process.exit(0));
};
const again = () => {
  clearTimeout(timer);
  timer = setTimeout(finish, Number(quietMs));
};
client.on("connect", () => client.subscribe(filter, { qos: 1 }, again));
client.on("message", (topic, payload, packet) => {
  if (packet.retain) {
    found[topic] = payload.toString();
    again();
  }
});
client.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
