// The rules about the tree find what is planted, and find nothing in the tree itself.
import t from 'tap'
import { readFileSync } from 'node:fs'
import { inspectTree, readManifests } from '../.tools/check/read-tree.mjs'
import {
  dependencyPageProblems,
  layerProblems,
  leftoverProblems,
  lockProblems,
  longFiles,
  machinePathProblems,
  topLevelProblems,
} from '../.tools/check/tidy.mjs'

const file = (text: string) => [{ path: 'packages/x/src/x.ts', text }]

t.test('the tree keeps its own rules', async (t) => {
  t.same(inspectTree().problems, [])
})

t.test('the page of dependencies names what the packages depend on, both ways', async (t) => {
  const page = readFileSync(new URL('../docs/dependencies.md', import.meta.url), 'utf8')
  t.same(dependencyPageProblems(page, readManifests()), [])
  const extra = readManifests().concat({ name: 'x', dependencies: { 'left-pad': '1.0.0' } })
  t.match(dependencyPageProblems(page, extra), [/does not explain left-pad/])
  t.match(dependencyPageProblems(`${page}| \`gone\` | x |\n`, readManifests()), [/gone, which nothing/])
})

t.test('a stranger at the top level and a missing part are named', async (t) => {
  const whole = [
    'packages',
    'examples',
    'test',
    'lerna.json',
    'package.json',
    'tsconfig.base.json',
    'README.md',
  ]
  const entries = [...whole, 'LICENSE', 'package-lock.json', 'docs', '.tools', 'node_modules']
  t.same(topLevelProblems(entries), [])
  t.match(topLevelProblems([...entries, 'notes.txt']), [/notes\.txt does not belong/])
  t.match(topLevelProblems(entries.slice(1)), [/packages is missing/])
})

t.test('paths of one machine and markers of unfinished work are found with their line', async (t) => {
  const home = ['', 'home', 'somebody', 'x'].join('/')
  t.match(machinePathProblems(file(`a\nconst x = '${home}'`)), [/x\.ts:2: /])
  t.same(
    machinePathProblems(file(`import '../work/thing.ts'\nconst y = 'https://x.org/work/y' + '/tmp/x'`)),
    [],
  )
  t.match(leftoverProblems(file(`// ${'TO' + 'DO'}: later`)), [/x\.ts:1: /])
  t.same(leftoverProblems(file('const todo = "XXXXXX"')), [])
})

t.test('a file too long to hold in mind is reported', async (t) => {
  t.same(longFiles(file('x\n'.repeat(400))), [])
  t.match(longFiles(file('x\n'.repeat(401))), [/401 lines/])
})

t.test('a dependency or reference against the layer order is found', async (t) => {
  const layers = { low: [], high: ['low'] }
  const low = { manifest: { name: '@m/low' }, references: [] as string[] }
  const high = { manifest: { name: '@m/high', dependencies: { '@m/low': '1.0.0' } }, references: ['low'] }
  t.same(layerProblems(layers, { low, high }), [])
  const upward = { manifest: { name: '@m/low', dependencies: { '@m/high': '1.0.0' } }, references: ['high'] }
  t.match(layerProblems(layers, { low: upward, high }), [/low\/package.json depends on high/])
  t.match(layerProblems(layers, { low, high: { ...high, references: [] } }), [/lacks the reference to low/])
  t.match(layerProblems(layers, { low, high, other: low }), [/packages\/other has no layer/])
  t.match(layerProblems(layers, { high }), [/packages\/low, which does not exist/])
})

t.test('a package from elsewhere and a loose version are found', async (t) => {
  const entry = { version: '1.0.0', resolved: 'https://registry.npmjs.org/x/-/x-1.0.0.tgz' }
  t.same(lockProblems({ packages: { 'node_modules/x': entry } }, []), [])
  const foreign = { ...entry, resolved: 'git+ssh://example.org/x.git' }
  t.match(lockProblems({ packages: { 'node_modules/x': foreign } }, []), [/from git\+ssh/])
  t.match(lockProblems({ packages: {} }, [{ name: 'm', dependencies: { x: '^1.0.0' } }]), [/exact/])
})
