// Rules about the tree that no other tool knows. Each function returns a list of sentences; an empty list is well.
// Pure where it can be: texts and lists in, sentences out, so that the tests can plant what must be found.

const topLevel = [
  'LICENSE',
  'README.md',
  'docs',
  'examples',
  'lerna.json',
  'package-lock.json',
  'package.json',
  'packages',
  'test',
  'tsconfig.base.json',
]

/** The top level holds what the architecture names, dotfiles, and what is installed; nothing missing or more. */
export function topLevelProblems(entries) {
  const visible = entries.filter((name) => !name.startsWith('.') && name !== 'node_modules')
  return [
    ...visible
      .filter((name) => !topLevel.includes(name))
      .map((name) => `${name} does not belong at the top level`),
    ...topLevel
      .filter((name) => !visible.includes(name))
      .map((name) => `${name} is missing at the top level`),
  ]
}

// Written in two parts so that this file does not find itself.
const machinePath = new RegExp(
  `(?<![\\w.~])/(?:${['home', 'Users', 'root', 'work', 'mnt'].join('|')})/[\\w.-]+`,
)
const marker = new RegExp(`\\b(?:TO${''}DO|FIX${''}ME|XX${''}X)\\b`)

const linesMatching = (files, pattern, sentence) =>
  files.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) => {
      const found = pattern.exec(line)
      return found === null ? [] : [`${path}:${index + 1}: ${sentence(found[0])}`]
    }),
  )

/** Paths that exist on the author's machine only. */
export const machinePathProblems = (files) =>
  linesMatching(files, machinePath, (found) => `${found} is a path of one machine`)

/** Markers of unfinished work. */
export const leftoverProblems = (files) =>
  linesMatching(files, marker, (found) => `a ${found} was left behind`)

/** Source files longer than a reader can hold in mind: reported, not forbidden. */
export const longFiles = (files, limit = 400) =>
  files
    .map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }))
    .filter(({ lines }) => lines > limit)
    .map(({ path, lines }) => `${path} has ${lines} lines; split it by subject (${limit} at most)`)

const nameOf = (manifest) => manifest.name
const workspaceDependencies = (manifest, names) =>
  Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies }).filter((name) =>
    names.includes(name),
  )

/**
 * Package manifests and project references against the layer order.
 * `packages` is {folder: {manifest, references: [folder]}}.
 */
export function layerProblems(layers, packages) {
  const folders = Object.keys(packages)
  const folderOf = new Map(folders.map((folder) => [nameOf(packages[folder].manifest), folder]))
  const problems = [
    ...folders
      .filter((folder) => !(folder in layers))
      .map((folder) => `packages/${folder} has no layer in .dependency-cruiser.mjs`),
    ...Object.keys(layers)
      .filter((folder) => !folders.includes(folder))
      .map((folder) => `.dependency-cruiser.mjs names packages/${folder}, which does not exist`),
  ]
  for (const [folder, { manifest, references }] of Object.entries(packages)) {
    const allowed = layers[folder] ?? []
    const declared = workspaceDependencies(manifest, [...folderOf.keys()]).map((name) => folderOf.get(name))
    for (const other of declared) {
      if (!allowed.includes(other))
        problems.push(`packages/${folder}/package.json depends on ${other}, which its layer forbids`)
      if (!references.includes(other))
        problems.push(`packages/${folder}/tsconfig.json lacks the reference to ${other}`)
    }
    for (const other of references) {
      if (!declared.includes(other))
        problems.push(
          `packages/${folder}/tsconfig.json references ${other}, which package.json does not list`,
        )
    }
  }
  return problems
}

/** Dependencies come from the npm registry, in exact versions. */
export function lockProblems(lock, manifests) {
  const foreign = Object.entries(lock.packages)
    .filter(([, entry]) => entry.resolved !== undefined && entry.link !== true)
    .filter(([, entry]) => !entry.resolved.startsWith('https://registry.npmjs.org/'))
    .map(([path, entry]) => `package-lock.json takes ${path} from ${entry.resolved}`)
  const loose = manifests.flatMap((manifest) =>
    Object.entries({
      ...manifest.dependencies,
      ...manifest.devDependencies,
      ...manifest.optionalDependencies,
    })
      .filter(([, version]) => !/^\d+\.\d+\.\d+([-+].+)?$/.test(version))
      .map(([name, version]) => `${nameOf(manifest)} asks for ${name} ${version}; versions are exact here`),
  )
  return [...foreign, ...loose]
}

/** docs/dependencies.md (rows `| \`name\` | …`) against the manifests, both ways. */
export function dependencyPageProblems(page, manifests) {
  const own = manifests.map(nameOf)
  const used = new Set(
    manifests.flatMap((manifest) =>
      Object.keys({
        ...manifest.dependencies,
        ...manifest.devDependencies,
        ...manifest.optionalDependencies,
      }),
    ),
  )
  for (const name of own) used.delete(name)
  const explained = new Set([...page.matchAll(/^\| `([^`]+)` \|/gm)].map((found) => found[1]))
  return [
    ...[...used]
      .filter((name) => !explained.has(name))
      .map((name) => `docs/dependencies.md does not explain ${name}`),
    ...[...explained]
      .filter((name) => !used.has(name))
      .map((name) => `docs/dependencies.md explains ${name}, which nothing depends on`),
  ]
}
