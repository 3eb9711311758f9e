// Finds what pages are generated from: the built packages are imported, their exports looked at.
import { existsSync } from 'node:fs'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { filesBelow, inRoot, packageNames, root } from '../lib/root.mjs'
import { renderErrorsPage, renderProtocolPage, renderSettingsPage } from './catalog-pages.mjs'
import { isMachine, readMachine } from './machine-model.mjs'
import { renderMachinePage } from './machine-page.mjs'

/** [{folder, name, exports}] of every package, lowest layer first as packages/tsconfig.json lists them. */
async function importPackages() {
  const { references } = JSON.parse(readFileSync(join(root, 'packages', 'tsconfig.json'), 'utf8'))
  const order = references.map(({ path }) => path.replace('./', ''))
  const folders = packageNames().sort((a, b) => order.indexOf(a) - order.indexOf(b))
  return Promise.all(
    folders.map(async (folder) => {
      const entry = join(root, 'packages', folder, 'dist', 'index.js')
      if (!existsSync(entry)) throw new Error(`packages/${folder} is not built; run npm run build`)
      const manifest = JSON.parse(readFileSync(join(root, 'packages', folder, 'package.json'), 'utf8'))
      return { folder, name: manifest.name, exports: await import(pathToFileURL(entry).href) }
    }),
  )
}

function sourceOf(folder, name) {
  const declaration = new RegExp(`^export const ${name}\\b`, 'm')
  const found = filesBelow(join(root, 'packages', folder, 'src')).find(
    (path) => path.endsWith('.ts') && declaration.test(readFileSync(path, 'utf8')),
  )
  if (found === undefined) throw new Error(`no file below packages/${folder}/src says "export const ${name}"`)
  return inRoot(found)
}

/** Every machine that a package exports as `…Machine`: [{name, source, model}]. */
export async function findMachines(packages) {
  return (packages ?? (await importPackages())).flatMap(({ folder, exports }) =>
    Object.entries(exports)
      .filter(([name, value]) => name.endsWith('Machine') && isMachine(value))
      .map(([name, machine]) => ({ name, source: sourceOf(folder, name), model: readMachine(machine) })),
  )
}

/** Machine files (x.machine.ts) whose machine no package exports, so that no page can be made of them. */
export function machinesNotExported(machines) {
  const shown = new Set(machines.map(({ source }) => source))
  return packageNames()
    .flatMap((folder) => filesBelow(join(root, 'packages', folder, 'src')))
    .map(inRoot)
    .filter((path) => path.endsWith('.machine.ts') && !shown.has(path))
}

/** Every generated page: Map of path in the checkout to text. */
export async function renderAllPages() {
  const packages = await importPackages()
  const messages = packages.find(({ folder }) => folder === 'messages').exports
  const pages = new Map()
  for (const { name, source, model } of await findMachines(packages)) {
    const fileName = source.slice(source.lastIndexOf('/') + 1)
    pages.set(source.replace(/\.ts$/, '.md'), renderMachinePage(model, { name, source: fileName }))
  }
  pages.set('docs/protocol.md', renderProtocolPage(messages.messageCatalog))
  pages.set('docs/settings.md', renderSettingsPage(messages.settingsCatalog))
  const catalogs = packages
    .filter(({ exports }) => exports.errorCatalog !== undefined)
    .map(({ name, exports }) => ({ packageName: name, errors: exports.errorCatalog }))
  pages.set('docs/errors.md', renderErrorsPage(catalogs))
  return pages
}

/** Generated machine pages on disk that nothing generates any more. */
export function orphanPages(pages) {
  return packageNames()
    .flatMap((folder) => filesBelow(join(root, 'packages', folder, 'src')))
    .map(inRoot)
    .filter((path) => path.endsWith('.machine.md') && !pages.has(path))
}
