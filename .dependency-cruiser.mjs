// The layer order of the packages, kept once. `npm run check` holds the imports, the package.json files and the
// project references against it.

/** For each package (its folder name), the packages that its src may import. Lowest layer first. */
export const layers = {
  messages: [],
  runtime: ['messages'],
  wal: ['messages', 'runtime'],
  engine: ['messages', 'runtime', 'wal'],
  instance: ['messages', 'runtime', 'wal', 'engine'],
  segment: ['messages', 'runtime', 'wal', 'engine', 'instance'],
  fts: ['messages', 'runtime'],
  sql: ['messages'],
  pgwire: ['messages', 'runtime'],
  coordinator: ['messages', 'runtime', 'wal', 'engine', 'instance', 'fts', 'sql', 'pgwire'],
  agent: ['messages', 'runtime', 'wal', 'engine', 'instance', 'segment', 'coordinator'],
}
layers.cli = Object.keys(layers)
layers.testkit = Object.keys(layers)

const layerRules = Object.entries(layers).map(([name, allowed]) => ({
  name: `layer-${name}`,
  comment: `${name} may import ${allowed.length === 0 ? 'no other package' : allowed.join(', ')}.`,
  severity: 'error',
  from: { path: `^packages/${name}/(src|bin)/` },
  to: { path: `^packages/(?!(?:${[name, ...allowed].join('|')})/)[^/]+/` },
}))

export default {
  forbidden: [
    ...layerRules,
    {
      name: 'not-into-another-src',
      comment:
        'Packages meet through their names; a relative path into another package goes round its index.',
      severity: 'error',
      from: { path: '^packages/([^/]+)/' },
      to: { path: '^packages/[^/]+/src/', pathNot: '^packages/$1/' },
    },
    {
      name: 'no-cycles',
      comment: 'Files that import each other in a circle cannot be read, tested or moved one at a time.',
      severity: 'error',
      from: { pathNot: '^packages/testkit/' },
      to: { circular: true },
    },
    {
      name: 'no-cycles-in-testkit',
      comment:
        'The simulated machines know each other by type (a process its host, a host its processes); at run time no file needs itself.',
      severity: 'error',
      from: { path: '^packages/testkit/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'src-not-from-tests',
      comment: 'What ships never imports a test or an example.',
      severity: 'error',
      from: { path: '^packages/[^/]+/(src|bin)/' },
      to: { path: '(^|/)(test|examples)/', pathNot: 'node_modules' },
    },
    {
      name: 'src-not-from-dev-dependencies',
      comment: 'What ships needs only what its package.json lists as a dependency.',
      severity: 'error',
      from: { path: '^packages/[^/]+/(src|bin)/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'resolvable',
      comment: 'An import that leads nowhere (is the package built?).',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'not-deprecated',
      comment: 'A module that Node or npm calls deprecated.',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['deprecated'] },
    },
  ],
  options: {
    doNotFollow: { path: '(node_modules|/dist/)' },
    exclude: { path: '^(packages/[^/]+/dist|\\.tap)/.*\\.map$' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
}
