import t from 'tap'
import { parseClusterFile } from '../src/folder/cluster-file.ts'

const row = {
  dbid: 1,
  content: -1,
  role: 'p',
  preferredRole: 'p',
  mode: 's',
  status: 'u',
  port: 5432,
  hostname: 'h1',
  address: '127.0.0.1',
  datadir: '/h1/coordinator',
  endpoint: { addresses: ['127.0.0.1'], port: 7001 },
}
const good = {
  formatVersion: 1,
  clusterId: 'c',
  createdAt: '2026-01-01T00:00:00Z',
  progress: 'ready',
  local: true,
  mirroring: 'group',
  settings: { autovacuum: 'on' },
  transport: { encryption: 'auto', certificates: { certFile: 'c', keyFile: 'k', caFile: 'a' } },
  keyFile: 'cluster.key',
  hosts: [{ name: 'h1', addresses: ['127.0.0.1'], agentPort: 7000, dir: '/h1' }],
  rows: [row],
  coordinatorDbid: 1,
  standbyDbid: 2,
  activatingDbid: 3,
  epoch: 0,
  initialised: true,
}

t.test('a description is understood; what may be left out may', async (t) => {
  t.same(parseClusterFile('f', JSON.stringify(good)), good)
  const { transport: _, ...plain } = good
  const more = { ...plain, makingStandbyDbid: null, removingStandbyDbid: 2, addingMirrors: true }
  t.same(parseClusterFile('f', JSON.stringify(more)), more)
})

t.test('whatever is missing or of another kind is named', async (t) => {
  /** Every place of the description, and the description without what is there, or with something else. */
  function* harmed(value: unknown, place: string): Generator<[place: string, harmed: unknown]> {
    if (typeof value !== 'object' || value === null) return
    for (const [name, inner] of Object.entries(value)) {
      const here = place === '' ? name : `${place}.${name}`
      const instead = (other: unknown): unknown => {
        if (!Array.isArray(value)) return { ...value, [name]: other }
        return value.map((one: unknown, index) => (String(index) === name ? other : one))
      }
      for (const other of [-7, '', {}, [], false])
        if (typeof other !== typeof inner) yield [here, instead(other)]
      if (
        here !== 'transport' &&
        here !== 'transport.certificates' &&
        !Array.isArray(value) &&
        place !== 'settings'
      )
        yield [here, instead(undefined)]
      for (const [there, other] of harmed(inner, here)) yield [there, instead(other)]
    }
  }
  let count = 0
  for (const [place, value] of harmed(good, '')) {
    count++
    const refused = () => parseClusterFile('the file', JSON.stringify(value))
    t.throws(
      refused,
      { message: new RegExp(`^the file .*: ${place.replaceAll('.', String.raw`\.`)}`) },
      `${place} of ${JSON.stringify(value)}`,
    )
  }
  t.ok(count > 100, `${count} were tried`)
  for (const [place, change] of [
    ['hosts', { hosts: [] }],
    ['rows.0.port', { rows: [{ ...row, port: 65_536 }] }],
    ['rows.0.dbid', { rows: [{ ...row, dbid: 1.5 }] }],
    ['epoch', { epoch: -1 }],
    ['progress', { progress: 'done' }],
  ] as const)
    t.throws(() => parseClusterFile('f', JSON.stringify({ ...good, ...change })), {
      message: new RegExp(`: ${place}`),
    })
  for (const text of ['', '{', 'null', '[]', '7'])
    t.throws(() => parseClusterFile('f', text), { name: 'CliError' }, text)
})
