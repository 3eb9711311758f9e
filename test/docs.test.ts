// The generated pages are true: they equal what the renderers make of the machines and catalogues of today.
import t from 'tap'
import { readFileSync } from 'node:fs'
import { assign, and, not, setup } from 'xstate'
import { findMachines, machineFileProblems, orphanPages, renderAllPages } from '../.tools/docs/all-pages.mjs'
import { renderErrorsPage, renderProtocolPage, renderSettingValue } from '../.tools/docs/catalog-pages.mjs'
import { isMachine, readMachine, undescribed } from '../.tools/docs/machine-model.mjs'
import { renderMachinePage } from '../.tools/docs/machine-page.mjs'

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')

t.test('every generated page equals what its renderer makes of it today', async (t) => {
  const pages = await renderAllPages()
  for (const [path, text] of pages) t.equal(read(path), text, `${path} (npm run docs)`)
  t.same(orphanPages(pages), [])
})

t.test(
  'every state and transition of every machine has a description, and every machine a page',
  async (t) => {
    const machines = await findMachines()
    for (const { name, model } of machines) t.same(undescribed(model), [], name)
    t.same(machineFileProblems(machines), [])
  },
)

const door = setup({
  guards: { isLocked: () => true, isNight: () => true },
  actions: { ring: () => {}, count: assign({}) },
}).createMachine({
  id: 'door',
  description: 'A door.',
  context: {},
  initial: 'shut',
  on: { BURN: { target: '.gone', description: 'Fire.' } },
  states: {
    shut: {
      description: 'Nobody passes.',
      entry: 'ring',
      on: {
        OPEN: {
          target: 'open.wide',
          guard: and(['isLocked', not('isNight')]),
          actions: 'count',
          description: 'A | key.',
        },
        KNOCK: { actions: 'ring' },
      },
    },
    open: {
      description: 'Anybody passes.',
      initial: 'wide',
      after: { 500: { target: 'shut', description: 'The spring.' } },
      states: { wide: {} },
    },
    gone: { type: 'final', description: 'No door.' },
  },
})

t.test('a machine is read with its guards, timers, inner states and missing descriptions', async (t) => {
  t.ok(isMachine(door))
  t.notOk(isMachine({ config: {}, transition: () => {} }))
  const model = readMachine(door)
  t.same(undescribed(model), ['door: shut, KNOCK has no description', 'door: open.wide has no description'])
  const page = renderMachinePage(model, { name: 'doorMachine', source: 'door.machine.ts' })
  t.match(page, 'state "wide" as open_wide')
  t.match(page, 'shut --> open_wide: OPEN [(isLocked and not isNight)]')
  t.match(page, 'open --> shut: after 500 ms')
  t.match(page, 'any_state --> gone: BURN')
  t.match(page, 'gone --> [*]')
  t.match(page, '| `shut` | `OPEN` | `(isLocked and not isNight)` | `open.wide` | `count` | A \\| key. |')
  t.match(page, '| `shut` | `KNOCK` |  | stays | `ring` |  |')
  t.notMatch(page, 'xstate.')
})

t.test('catalogues are rendered with their fields, codes and units', async (t) => {
  const field = { type: 'lsn', doc: 'where it starts' }
  const messages = { 'wal.start': { doc: 'Stream.', reply: 'wal.started', fields: { lsn: field } } }
  t.match(renderProtocolPage(messages), '| `lsn` | `lsn` | where it starts |')
  const errors = { 'disk.full': { sentence: 'No room.', retryable: false, sqlstate: '53100' } }
  t.match(renderErrorsPage([{ packageName: 'x', errors }]), '| `disk.full` | `53100` | no | No room. |')
  t.equal(renderSettingValue('ms', 300_000), '5 min')
  t.equal(renderSettingValue('ms', 1_500), '1500 ms')
  t.equal(renderSettingValue('bytes', 4 * 2 ** 30), '4 GB')
  t.equal(renderSettingValue('bool', true), 'on')
})

t.test('every error on the page has a sentence and says whether to try again', async (t) => {
  const page = read('docs/errors.md')
  const rows = page.split('\n').filter((line) => line.startsWith('| `'))
  t.ok(rows.length > 0)
  for (const row of rows) t.match(row, /^\| `[^`]+` \| (`[0-9A-Z]{5}`)? \| (yes|no) \| \S.+ \|$/)
})
