// Runs nets as the page does: given a file of [{ script, live, settings }], prints what `run` gives at each setting.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import vm from "node:vm";

const [, , source, file] = process.argv;
const { Net } = await import(pathToFileURL(`${source}/live.js`).href);
const { read } = await import(pathToFileURL(`${source}/data.js`).href);
const written = (/** @type {Iterable<number>} */ numbers) => Array.from(numbers, (x) => (Number.isFinite(x) ? x : String(x)));

const found = read(readFileSync(file, "utf8")).map(({ script, live, settings }) => {
    vm.runInThisContext(script);
    const net = new Net(live);
    return settings.map((one) => {
        const { loss, profile, messages } = net.run(one);
        const norms = Object.entries(profile).map(([name, x]) => [name, written(x)]);
        return { loss, profile: Object.fromEntries(norms), messages: messages && written(messages) };
    });
});
console.log(JSON.stringify(found));
