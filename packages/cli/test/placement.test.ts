import t from 'tap'
import fc from 'fast-check'
import { chooseMirrorHosts } from '../src/placement/mirror-hosts.ts'
import { planCluster } from '../src/placement/plan-cluster.ts'
import type { ClusterDescription, PlacementHost } from '../src/placement/placement.ts'

function hosts(count: number): PlacementHost[] {
  return Array.from({ length: count }, (_, i) => ({
    name: `host${i + 1}`,
    addresses: ['127.0.0.1'],
    agentPort: 16_900 + i,
    dataRoot: `/data/host${i + 1}`,
    basePort: 17_100 + 100 * i,
  }))
}

const small: ClusterDescription = {
  hosts: hosts(3),
  segments: { total: 2 },
  mirroring: 'group',
  coordinatorPort: 17_000,
  standbyHost: 'host2',
}

t.test('two segments on three hosts with a standby: rows numbered as in Greenplum', (t) => {
  const { rows, warnings, hosts: hostRows } = planCluster(small)
  t.strictSame(
    rows.map((r) => [
      r.dbid,
      r.content,
      r.role,
      r.preferredRole,
      r.mode,
      r.status,
      r.port,
      r.hostname,
      r.datadir,
    ]),
    [
      [1, -1, 'p', 'p', 'n', 'u', 17_000, 'host1', '/data/host1/coordinator'],
      [2, 0, 'p', 'p', 'n', 'u', 17_101, 'host1', '/data/host1/primary0'],
      [3, 1, 'p', 'p', 'n', 'u', 17_200, 'host2', '/data/host2/primary1'],
      [4, 0, 'm', 'm', 'n', 'u', 17_201, 'host2', '/data/host2/mirror0'],
      [5, 1, 'm', 'm', 'n', 'u', 17_300, 'host3', '/data/host3/mirror1'],
      [6, -1, 'm', 'm', 's', 'u', 17_001, 'host2', '/data/host2/standby'],
    ],
  )
  t.strictSame(rows[0]?.endpoint, { addresses: ['127.0.0.1'], port: 17_100 })
  t.strictSame(warnings, [])
  t.strictSame(hostRows[1], { hostname: 'host2', agent: { addresses: ['127.0.0.1'], port: 16_901 } })
  t.end()
})

t.test('the standby has the port of the coordinator where that is free', (t) => {
  const apart = hosts(2).map((host, i) => ({ ...host, addresses: [`10.0.0.${i + 1}`] }))
  const { rows } = planCluster({ ...small, hosts: apart })
  t.equal(rows.at(-1)?.port, 17_000)
  t.end()
})

t.test('the instances of a host with two networks begin with different addresses', (t) => {
  const two = hosts(2).map((host, i) => ({ ...host, addresses: [`10.0.0.${i + 1}`, `10.1.0.${i + 1}`] }))
  const { rows } = planCluster({ ...small, hosts: two })
  const mirror = rows.find(({ content, role }) => content === 0 && role === 'm')
  const primary = rows.find(({ content, role }) => content === 1 && role === 'p')
  t.strictSame(primary?.endpoint.addresses, ['10.0.0.2', '10.1.0.2'])
  t.strictSame(mirror?.endpoint.addresses, ['10.1.0.2', '10.0.0.2'])
  t.equal(mirror?.address, '10.1.0.2')
  t.end()
})

t.test('too few hosts are refused in Greenplum’s words, or accepted with a warning', (t) => {
  const group = { ...small, hosts: hosts(1), standbyHost: 'host1' }
  t.throws(() => planCluster(group), {
    message: 'Not enough hosts for grouped mirroring.  You must have at least 2',
    name: 'PlacementError',
  })
  const forced = planCluster({ ...group, force: true })
  t.match(forced.warnings, [
    /content 0 is on the same host/,
    /content 1 is on the same host/,
    /standby coordinator/,
  ])

  const spread = { ...small, mirroring: 'spread', segments: { perHost: 3 } } as const
  t.throws(() => planCluster(spread), {
    message:
      'Not enough hosts for spread mirroring.  You must have more hosts than primary segments per host',
  })
  const doubled = planCluster({ ...spread, force: true })
  t.match(doubled.warnings, [/Not enough hosts/])
  t.equal(doubled.rows.length, 1 + 9 + 9 + 1)
  t.end()
})

t.test('what cannot be carried out is refused by name', (t) => {
  const [first, second] = hosts(2) as [PlacementHost, PlacementHost]
  const refuses = (part: Partial<ClusterDescription>, message: RegExp) => {
    t.throws(() => planCluster({ ...small, ...part }), { message, name: 'PlacementError' })
  }
  refuses({ hosts: [] }, /at least one host/)
  refuses({ hosts: [first, first] }, /host1 is named twice/)
  refuses({ hosts: [first, { ...second, addresses: [] }] }, /host2 has no address/)
  refuses(
    { hosts: [first, { ...second, agentPort: first.agentPort }] },
    /agent of host host1 and .*host2.* same port 16900/,
  )
  refuses(
    { hosts: [first, { ...second, dataRoot: first.dataRoot }] },
    /host1 and host2 .* same data directory/,
  )
  refuses({ standbyHost: 'nowhere' }, /no host nowhere; the hosts are host1, host2, host3/)
  refuses({ coordinatorHost: 'nowhere' }, /no host nowhere/)
  refuses({ segments: { total: 0 } }, /from 1 to 16384, not 0/)
  refuses({ segments: { perHost: 1.5 } }, /whole number/)
  refuses({ coordinatorPort: 70_000 }, /from 1 to 65535, not 70000/)
  refuses({ coordinatorPort: 16_900 }, /agent of host host1 and The coordinator/)
  refuses({ hosts: hosts(2).map((host) => ({ ...host, segments: false })) }, /No host carries segments/)
  t.end()
})

t.test('mirrors are not chosen for a primary on an unknown host', (t) => {
  t.throws(() => chooseMirrorHosts([{ content: 0, hostname: 'lost' }], ['a', 'b'], 'group'), {
    message: /lost/,
  })
  t.end()
})

const descriptions = fc.record({
  count: fc.integer({ min: 2, max: 9 }),
  total: fc.integer({ min: 1, max: 40 }),
  mirroring: fc.constantFrom('group', 'spread', 'none'),
  standby: fc.option(fc.nat()),
  without: fc.option(fc.nat()),
  sameBase: fc.boolean(),
})

t.test('whatever the cluster: the rules hold', (t) => {
  let planned = 0
  fc.assert(
    fc.property(descriptions, ({ count, total, mirroring, standby, without, sameBase }) => {
      const all = hosts(count).map((host, i) => ({
        ...host,
        segments: without === null || i !== without % count,
        basePort: sameBase ? 17_100 : host.basePort,
      }))
      const carrying = all.filter(({ segments }) => segments).length
      const description: ClusterDescription = {
        hosts: all,
        segments: { total },
        mirroring,
        coordinatorPort: 17_000,
        ...(standby === null ? {} : { standbyHost: `host${(standby % count) + 1}` }),
      }
      const most = Math.ceil(total / carrying)
      const enough =
        mirroring === 'none' || (mirroring === 'group' ? carrying >= 2 : carrying >= 2 && carrying > most)
      if (!enough) {
        t.throws(() => planCluster(description), { name: 'PlacementError' })
        return
      }
      planned += 1
      const { rows, warnings } = planCluster(description)
      const primaries = rows.filter(({ role, content }) => role === 'p' && content >= 0)
      const mirrors = rows.filter(({ role, content }) => role === 'm' && content >= 0)

      const order = rows.map(({ dbid }) => dbid)
      if (order.some((dbid, i) => dbid !== i + 1)) throw new Error('dbids count up from 1')
      if (primaries.length !== total) throw new Error('every content has a primary')
      if (mirrors.length !== (mirroring === 'none' ? 0 : total))
        throw new Error('every content has a mirror, or none')
      const hostOf = new Map(primaries.map(({ content, hostname }) => [content, hostname]))
      if (mirrors.some(({ content, hostname }) => hostOf.get(content) === hostname))
        throw new Error('own host')
      if (warnings.some((line) => line.includes('mirror'))) throw new Error('nothing to warn of')

      const loads = [...countOf(primaries.map(({ hostname }) => hostname)).values()]
      if (Math.max(...loads) - Math.min(...loads, Math.floor(total / carrying)) > 1) throw new Error('uneven')
      for (const { name } of all) {
        const targets = mirrors
          .filter(({ content }) => hostOf.get(content) === name)
          .map(({ hostname }) => hostname)
        const distinct = new Set(targets).size
        if (mirroring === 'group' && distinct > 1)
          throw new Error('group: all mirrors of a host go to one host')
        if (mirroring === 'spread' && distinct !== targets.length)
          throw new Error('spread: each to another host')
      }
      const places = rows.flatMap(({ content, port, endpoint }) =>
        content < 0 ? [port, endpoint.port] : [port],
      )
      const everyPort = [...places, ...all.map(({ agentPort }) => agentPort)]
      if (new Set(everyPort).size !== everyPort.length) throw new Error('a port is used twice on one address')
      if (new Set(rows.map(({ datadir }) => datadir)).size !== rows.length)
        throw new Error('a folder is used twice')
    }),
    { numRuns: 300 },
  )
  t.ok(planned > 100, `${planned} plans`)
  t.end()
})

function countOf(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}
