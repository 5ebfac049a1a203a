// Runs nets as the page does: given a file of [{ script, live, settings, shut }], prints what `run` gives at each
// setting, and at the last of them what `cut` gives for each choice of ways to shut.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import vm from "node:vm";

const [, , source, file] = process.argv;
const { Net } = await import(pathToFileURL(`${source}/live.js`).href);
const { read } = await import(pathToFileURL(`${source}/data.js`).href);
const written = (/** @type {Iterable<number>} */ numbers) => Array.from(numbers, (x) => (Number.isFinite(x) ? x : String(x)));
const norms = (profile) => profile && Object.fromEntries(Object.entries(profile).map(([s, x]) => [s, written(x)]));

const found = read(readFileSync(file, "utf8")).map(({ script, live, settings, shut }) => {
    vm.runInThisContext(script);
    const net = new Net(live);
    const runs = settings.map((one) => {
        const { loss, profile, messages } = net.run(one);
        return { loss, profile: norms(profile), messages: messages && written(messages) };
    });
    return { runs, cuts: shut.map((ways) => norms(net.cut(settings.at(-1), ways))) };
});
console.log(JSON.stringify(found));
