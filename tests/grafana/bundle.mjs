// Bundles draw/ with Grafana's libraries: node bundle.mjs <folder with node_modules> <folder for the bundle>
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const [installed, out] = process.argv.slice(2).map((each) => path.resolve(each));
const modules = path.join(installed, "node_modules");
const { build } = await import(pathToFileURL(path.join(modules, "esbuild/lib/main.js")).href);
await build({
  entryPoints: [fileURLToPath(new URL("draw/index.jsx", import.meta.url))],
  outdir: out,
  nodePaths: [modules],
  bundle: true,
  minify: true,
  format: "esm",
  splitting: true,
  jsx: "automatic",
  define: { "process.env.NODE_ENV": '"production"', global: "window" },
  loader: { ".svg": "dataurl", ".png": "dataurl", ".woff": "dataurl", ".woff2": "dataurl", ".ttf": "dataurl" },
  // the first name is the one under which version 6 of the router is known to Grafana's libraries
  alias: {
    "react-router-dom-v5-compat": path.join(modules, "react-router-dom"),
    "@grafana/ui/internal-table": path.join(modules, "@grafana/ui/dist/esm/components/Table/TableNG/TableNG.mjs"),
  },
  logLevel: "error",
});
