// Writes explorer.js, the one script of the page, and LICENSES.txt, the licences of what is bundled into it.
// `node bundle.js --check` writes nothing and fails if the files in the repository are not what it would write.
import { readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const result = await build({
    entryPoints: ["src/main.js"],
    bundle: true,
    format: "iife",
    minify: true,
    target: "es2022",
    charset: "ascii",
    legalComments: "none",
    metafile: true,
    write: false,
});
const packages = [...new Set(Object.keys(result.metafile.inputs).map((path) => /^node_modules\/([^/]+)/.exec(path)?.[1]))];
const licences = packages.filter((name) => name !== undefined).sort().map((name) => {
    const { version } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
    return `${name} ${version}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim()}\n`;
});
const files = {
    "explorer.js": result.outputFiles[0].text,
    "LICENSES.txt": `explorer.js holds parts of these packages:\n\n${licences.join(`\n${"-".repeat(80)}\n\n`)}`,
};
for (const [name, text] of Object.entries(files)) {
    if (!process.argv.includes("--check")) {
        writeFileSync(name, text);
    } else if (readFileSync(name, "utf8") !== text) {
        console.error(`viz/web/${name} is not what its sources make; run: npm run bundle`);
        process.exitCode = 1;
    }
}
