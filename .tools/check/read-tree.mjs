// Reads what the tidy rules look at.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { filesBelow, inRoot, packageNames, root } from '../lib/root.mjs'
import { dependencyPageProblems, layerProblems, leftoverProblems, lockProblems } from './tidy.mjs'
import { longFiles, machinePathProblems, topLevelProblems } from './tidy.mjs'
import { layers } from '../../.dependency-cruiser.mjs'

const isText = (path) =>
  /\.(ts|mts|js|mjs|cjs|json|md|ya?ml|sh|sql)$|\/run$/.test(path) && basename(path) !== 'package-lock.json'
const readJson = (path) => JSON.parse(readFileSync(join(root, path), 'utf8'))

export function readTexts(folders) {
  return folders
    .flatMap((folder) => filesBelow(join(root, folder)))
    .filter((path) => isText(path) && !inRoot(path).startsWith('docs/api/'))
    .map((path) => ({ path: inRoot(path), text: readFileSync(path, 'utf8') }))
}

function readPackages() {
  const entries = packageNames().map((folder) => {
    const references = (readJson(`packages/${folder}/tsconfig.json`).references ?? []).map(({ path }) =>
      basename(path),
    )
    return [folder, { manifest: readJson(`packages/${folder}/package.json`), references }]
  })
  return Object.fromEntries(entries)
}

/** All package.json files: the root's and the packages'. */
export const readManifests = () => [
  readJson('package.json'),
  ...packageNames().map((folder) => readJson(`packages/${folder}/package.json`)),
]

const readPage = (path) => (existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : '')

/** Problems of the tree, and remarks that fail nothing. */
export function inspectTree() {
  const everywhere = readTexts(['packages', 'examples', 'test', 'docs', '.tools', '.ci'])
  const sources = everywhere.filter(({ path }) => /^packages\/[^/]+\/src\//.test(path))
  const manifests = readManifests()
  return {
    problems: [
      ...topLevelProblems(readdirSync(root)),
      ...machinePathProblems(everywhere),
      ...layerProblems(layers, readPackages()),
      ...lockProblems(readJson('package-lock.json'), manifests),
      ...dependencyPageProblems(readPage('docs/dependencies.md'), manifests),
    ],
    remarks: longFiles(sources),
  }
}

/** Markers of unfinished work in what ships and in the tests. The tools, which speak TAP, are left out. */
export const inspectLeftovers = () => leftoverProblems(readTexts(['packages', 'examples', 'test', 'docs']))
