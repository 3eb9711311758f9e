import t from 'tap'
import { BackendState } from '../src/lanes/backend-state.ts'
import { withoutPreparation } from '../src/lanes/backend-bytes.ts'
import { queryMessage } from '../src/lanes/frontend-bytes.ts'
import { NO_SETTINGS, type LaneItem } from '../src/lanes/lane-item.ts'
import { queries } from './support/fake-segment.ts'

const settings = { key: 'k', sql: "SET search_path = 'a'" }
const item = (over: Partial<LaneItem> = {}): LaneItem => ({
  bytes: queryMessage('SELECT 1'),
  syncs: 1,
  settings: NO_SETTINGS,
  write: false,
  whenLost: 'rerun',
  ...over,
})
const parse = Buffer.from([0x50, 0, 0, 0, 4])
const types = (bytes: Uint8Array) => {
  const view = Buffer.from(bytes)
  let found = ''
  for (let at = 0; at < view.length; at += 1 + view.readUInt32BE(at + 1))
    found += String.fromCharCode(view[at] as number)
  return found
}

t.test('settings go out once, when they differ from what the backend has', async (t) => {
  const state = new BackendState(1)
  t.equal(state.encode(item()).preambleSyncs, 0)
  const first = state.encode(item({ settings }))
  t.equal(first.preambleSyncs, 1)
  t.equal(first.syncs, 2)
  t.match(queries(first.bytes)[0], /RESET ALL; SET search_path = 'a'$/)
  t.equal(state.encode(item({ settings })).preambleSyncs, 0)
  t.equal(state.encode(item({ settings: undefined })).preambleSyncs, 0)
  t.match(queries(state.encode(item()).bytes)[0], /RESET ALL$/)
})

t.test('after a rollback, and on a new backend, they go out again', async (t) => {
  const state = new BackendState(1)
  state.encode(item({ settings }))
  state.forgetSettings()
  t.equal(state.encode(item({ settings })).preambleSyncs, 1)
  state.sawGeneration(1)
  t.equal(state.encode(item({ settings })).preambleSyncs, 0)
  state.sawGeneration(2)
  t.equal(state.encode(item({ settings })).preambleSyncs, 1)
})

t.test('a statement is prepared until the backend has confirmed it, and again after a failure', async (t) => {
  const state = new BackendState(1)
  const use = item({ statement: { name: 's', parse } })
  t.equal(types(state.encode(use).bytes), 'CPQ')
  t.equal(types(state.encode(use).bytes), 'CPQ', 'what is on its way may fail')
  state.prepared('s', true)
  t.equal(types(state.encode(use).bytes), 'Q')
  state.prepared('s', false)
  t.equal(types(state.encode(use).bytes), 'CPQ')
  state.prepared('s', true)
  state.sawGeneration(2)
  t.equal(types(state.encode(use).bytes), 'QCPQ', 'its settings too, whatever they are')
})

t.test('a backend with too many statements is told to forget them', async (t) => {
  const state = new BackendState(1)
  for (let i = 0; i < 1_000; i++) state.encode(item({ statement: { name: `s${i}`, parse } }))
  const next = state.encode(item({ statement: { name: 'next', parse } }))
  t.equal(queries(next.bytes)[0], 'DEALLOCATE ALL')
  t.equal(types(state.encode(item({ statement: { name: 's1', parse } })).bytes), 'CPQ')
})

t.test('what leads an item stands between its settings and itself', async (t) => {
  const state = new BackendState(1)
  const encoded = state.encode(item({ settings, lead: ['BEGIN', 'SAVEPOINT a'] }))
  t.same(queries(encoded.bytes).slice(1), ['BEGIN', 'SAVEPOINT a', 'SELECT 1'])
  t.equal(encoded.preambleSyncs, 3)
})

t.test('answers to a preparation on the way are cut out', async (t) => {
  const closed = [0x33, 0, 0, 0, 4]
  const parsed = [0x31, 0, 0, 0, 4]
  const rest = [0x32, 0, 0, 0, 4]
  const cut = (bytes: number[]) => {
    const { output, prepared } = withoutPreparation(Uint8Array.from(bytes))
    return { output: [...output], prepared }
  }
  t.same(cut([...closed, ...parsed, ...rest]), { output: rest, prepared: true })
  t.same(cut([...closed, ...rest]), { output: rest, prepared: false })
  t.same(cut(rest), { output: rest, prepared: false })
})
