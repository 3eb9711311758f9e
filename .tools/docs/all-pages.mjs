// Finds what pages are generated from: the built packages are imported, their exports looked at.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { filesBelow, inRoot, packageNames, root } from '../lib/root.mjs'
import { renderErrorsPage, renderProtocolPage, renderSettingsPage } from './catalog-pages.mjs'
import { renderFaultPointsPage } from './fault-points-page.mjs'
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

const sourcesOf = (folder) => filesBelow(join(root, 'packages', folder, 'src')).map(inRoot)
const allSources = () => packageNames().flatMap(sourcesOf)

/** The built file of a source file. */
const builtFile = (source) => join(root, source.replace('/src/', '/dist/').replace(/\.ts$/, '.js'))

/** Every machine that an x.machine.ts exports: [{name, source, model}], in the order of the files. */
export async function findMachines() {
  const sources = allSources().filter((path) => path.endsWith('.machine.ts'))
  const found = await Promise.all(
    sources.map(async (source) => {
      if (!existsSync(builtFile(source))) throw new Error(`${source} is not built; run npm run build`)
      const exports = await import(pathToFileURL(builtFile(source)).href)
      return Object.entries(exports)
        .filter(([, value]) => isMachine(value))
        .map(([name, machine]) => ({ name, source, model: readMachine(machine) }))
    }),
  )
  return found.flat()
}

/** Machine files that export no machine or more than one, and machines outside of machine files. */
export function machineFileProblems(machines) {
  return allSources()
    .filter((path) => path.endsWith('.ts'))
    .flatMap((path) => {
      const count = machines.filter(({ source }) => source === path).length
      if (path.endsWith('.machine.ts'))
        return count === 1 ? [] : [`${path} exports ${count} machines; it must be one`]
      const makesOne = /\bcreateMachine\(/.test(readFileSync(join(root, path), 'utf8'))
      return makesOne ? [`${path} makes a machine; machines live in files named x.machine.ts`] : []
    })
}

const errorCatalogName = /(errorCatalog|_ERRORS)$/i

/** A catalogue says {sentence, retryable, sqlstate?}; pgwire's, whose codes are SQLSTATEs, {when, retryable, code}. */
const readError = ({ sentence, when, retryable, sqlstate, code }) => ({
  sentence: sentence ?? when,
  retryable,
  sqlstate: sqlstate ?? code,
})

function errorCatalogs(packages) {
  return packages.flatMap(({ name, exports }) =>
    Object.entries(exports)
      .filter(([exported, value]) => errorCatalogName.test(exported) && typeof value === 'object')
      .map(([, catalog]) => ({
        packageName: name,
        errors: Object.fromEntries(Object.entries(catalog).map(([key, entry]) => [key, readError(entry)])),
      })),
  )
}

/** Every generated page: Map of path in the checkout to text. */
export async function renderAllPages() {
  const packages = await importPackages()
  const messages = packages.find(({ folder }) => folder === 'messages').exports
  const pages = new Map()
  for (const { name, source, model } of await findMachines()) {
    const fileName = source.slice(source.lastIndexOf('/') + 1)
    pages.set(source.replace(/\.ts$/, '.md'), renderMachinePage(model, { name, source: fileName }))
  }
  pages.set('docs/protocol.md', renderProtocolPage(messages.messageCatalog))
  pages.set('docs/settings.md', renderSettingsPage(messages.settingsCatalog))
  pages.set('docs/fault-points.md', renderFaultPointsPage(messages))
  pages.set('docs/errors.md', renderErrorsPage(errorCatalogs(packages)))
  return pages
}

/** Generated machine pages on disk that nothing generates any more. */
export const orphanPages = (pages) =>
  allSources().filter((path) => path.endsWith('.machine.md') && !pages.has(path))
