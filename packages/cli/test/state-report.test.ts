import t from 'tap'
import type { ClusterState } from '@mirabelle/messages'
import { render } from '../src/commands/state.ts'
import { renderHeadless } from '../src/render/headless.ts'
import * as states from './support/states.ts'

/** The value behind a name in a report, as text; with the mark when the line is marked. */
function valueOf(lines: readonly string[], name: string): string | undefined {
  const line = lines.find((one) => one.trim().startsWith(name))
  return line
    ?.slice(line.indexOf('=') + 1)
    .trim()
    .replace(/\s+/g, ' ')
}

const MARK = '<<<<<<<<'

t.test('the summary of a healthy cluster counts everything as valid and marks nothing', (test) => {
  const { lines, exitStatus } = render(states.healthy, {})
  test.equal(exitStatus, 0)
  test.equal(valueOf(lines, 'Coordinator instance'), 'Active')
  test.equal(valueOf(lines, 'Standby coordinator state'), 'Standby host passive')
  test.equal(valueOf(lines, 'Total segment instance count from metadata'), '4')
  test.equal(valueOf(lines, 'Total primary segment valid (at coordinator)'), '2')
  test.equal(valueOf(lines, 'Total number mirror segments acting as mirror segments'), '2')
  test.notOk(lines.some((line) => line.includes(MARK)))
  test.equal(lines.at(-1), 'All instances are running normally')
  test.end()
})

t.test('the summary counts by preferred role, as gpstate does, and marks what failed', (test) => {
  const over = render(states.failedOver, {}).lines
  test.equal(valueOf(over, 'Total primary segment failures (at coordinator)'), `1 ${MARK}`)
  test.equal(valueOf(over, 'Total mirror segment failures (at coordinator)'), '0')
  test.equal(valueOf(over, 'Total number mirror segments acting as primary segments'), `1 ${MARK}`)
  const down = render(states.mirrorDown, {}).lines
  test.equal(valueOf(down, 'Total primary segment failures (at coordinator)'), '0')
  test.equal(valueOf(down, 'Total mirror segment failures (at coordinator)'), `1 ${MARK}`)
  const standby = render(states.standbyDown, {}).lines
  test.equal(valueOf(standby, 'Standby coordinator state'), `Standby process not running ${MARK}`)
  test.end()
})

t.test('every problem is said in a sentence with the command that mends it', (test) => {
  for (const state of [states.failedOver, states.mirrorDown, states.doubleFault, states.standbyDown]) {
    const { lines } = render(state, {})
    for (const problem of state.cluster.problems) test.ok(lines.includes(`   - ${problem}`), problem)
    test.ok(state.cluster.problems.some((problem) => problem.includes('mirabelle ')))
  }
  test.end()
})

t.test('-e says that all is well only when it is', (test) => {
  test.match(render(states.healthy, { errors: true }).lines.at(-1), /All segments are running normally/)
  test.equal(render(states.healthy, { errors: true }).exitStatus, 0)
  for (const state of [states.failedOver, states.mirrorDown, states.doubleFault, states.standbyDown]) {
    const { lines, exitStatus } = render(state, { errors: true })
    test.equal(exitStatus, 1)
    test.notOk(lines.some((line) => line.includes('running normally')))
  }
  test.end()
})

t.test('-e tells problems that have no section of their own', (test) => {
  const { healthy } = states
  const problem = 'the agent of host1 does not answer: on this machine run "mirabelle start"'
  const silent = { ...healthy, cluster: { ...healthy.cluster, healthy: false, problems: [problem] } }
  const { lines, exitStatus } = render(silent, { errors: true })
  test.equal(exitStatus, 1)
  test.equal(lines.at(-1), `   - ${problem}`)
  test.notOk(lines.some((line) => line.includes('running normally')))
  test.end()
})

t.test('-e lists switched roles, unsynchronized pairs and downed segments in columns', (test) => {
  const text = render(states.failedOver, { errors: true }).lines.join('\n')
  test.match(
    text,
    /Segments with Primary and Mirror Roles Switched\n +Current Primary +Port +Mirror +Port\n +host2 +\d+ +host1 +\d+/,
  )
  test.match(
    text,
    /Unsynchronized Segment Pairs\n +Current Primary +Port +WAL sync remaining bytes +Mirror +Port\n +host2 +\d+ +Unknown +host1/,
  )
  test.match(
    text,
    /Downed Segments .*\n +Segment +Port +Config status +Status\n +host1 +\d+ +Down +Down in configuration/,
  )
  test.notMatch(text, 'DATABASE IS PROBABLY UNAVAILABLE')
  test.end()
})

t.test(
  'a double fault is called by its name: the up row without a process, and an unavailable database',
  (test) => {
    const text = render(states.doubleFault, { errors: true }).lines.join('\n')
    test.match(text, /host2 +\d+ +Up +Process error -- database process may be down/)
    test.match(text, 'DATABASE IS PROBABLY UNAVAILABLE')
    test.match(
      render(states.doubleFault, { pairs: true }).lines.join('\n'),
      'Both Failed, Segment Unavailable',
    )
    test.equal(render(states.doubleFault, { pairs: true }).exitStatus, 1)
    test.end()
  },
)

t.test("-m and -c use gpstate's words", (test) => {
  const mirrors = (state: ClusterState) => render(state, { mirrors: true })
  test.match(mirrors(states.healthy).lines.join('\n'), /Passive +Synchronized/)
  test.match(mirrors(states.failedOver).lines.join('\n'), /Acting as Primary +Not In Sync/)
  test.equal(mirrors(states.failedOver).exitStatus, 1)
  test.equal(mirrors(states.healthy).exitStatus, 0)
  test.match(mirrors(states.mirrorDown).lines.join('\n'), /Failed +<<<<<<<</)
  test.match(mirrors(states.mirrorDown).lines.at(-1), '1 segment(s) configured as mirror(s) have failed')
  test.equal(mirrors(states.mirrorDown).exitStatus, 1)
  const pairs = (state: ClusterState) => render(state, { pairs: true }).lines.join('\n')
  test.match(pairs(states.healthy), /Primary Active, Mirror Available +Synchronized/)
  test.equal(render(states.healthy, { pairs: true }).exitStatus, 0)
  for (const state of [states.failedOver, states.mirrorDown])
    test.equal(render(state, { pairs: true }).exitStatus, 1, 'what is marked is wrong')
  test.match(pairs(states.failedOver), /Mirror Active, Primary Failed +Not In Sync/)
  test.match(pairs(states.mirrorDown), /Primary Active, Mirror Failed +Not In Sync/)
  test.end()
})

t.test('-s shows every segment; what cannot be known is Unknown, what does not run is Not found', (test) => {
  const fine = render(states.healthy, { segments: true })
  test.equal(fine.exitStatus, 0)
  test.equal(fine.lines.filter((line) => line.includes('Segment Info')).length, 4)
  test.match(valueOf(fine.lines, 'Current write location'), /^0\/[0-9A-F]+$/)
  const over = render(states.failedOver, { segments: true })
  test.equal(over.exitStatus, 1)
  test.equal(valueOf(over.lines, 'Bytes remaining to send to mirror'), `Unknown ${MARK}`)
  test.ok(over.lines.some((line) => /PID += Not found +<<<<<<<</.test(line)))
  test.end()
})

t.test('what is kept of WAL is shown: by pair with -s, the most of it in the summary', (test) => {
  const more: ClusterState = {
    ...states.healthy,
    instances: states.healthy.instances.map((row) => {
      if (row.dbid === 2) return { ...row, wal_kept: 3.5 * 2 ** 30 }
      return row.dbid === 4 ? { ...row, wal_since_base: 5 * 2 ** 20, base_refreshed_at: 0 } : row
    }),
  }
  const summary = render(more, {}).lines
  test.equal(valueOf(summary, 'Most WAL kept for a mirror'), '3.5 GB')
  test.equal(valueOf(summary, 'Most WAL of a mirror since its base'), '5.0 MB')
  const rows = render(more, { segments: true }).lines
  test.equal(valueOf(rows, 'WAL kept for the mirror (slot)'), '3.5 GB')
  test.equal(valueOf(rows, 'WAL since its base'), '5.0 MB')
  test.equal(valueOf(rows, 'Base last refreshed'), '1970-01-01T00:00:00.000Z')
  test.end()
})

t.test('-e shows what is being copied, with its bytes', (test) => {
  const copy = {
    mode: 'full',
    step: 'files',
    bytesDone: 8005 * 1024,
    bytesTotal: 402607 * 1024,
    startedAt: 0,
  } as const
  const copying: ClusterState = {
    ...states.mirrorDown,
    instances: states.mirrorDown.instances.map((row) =>
      row.status === 'd' ? { ...row, pid: 7, state: 'copying', copy } : row,
    ),
  }
  test.match(
    render(copying, { errors: true }).lines.join('\n'),
    /Segments in recovery\n +Segment +Port +Recovery type +Completed bytes \(kB\) +Total bytes \(kB\) +Percentage completed\n +host\d +\d+ +full +8005 +402607 +1%/,
  )
  test.end()
})

t.test('-i tells of every instance what it runs, and whether that is the same', (test) => {
  const fine = render(states.healthy, { versions: true })
  test.equal(fine.lines.filter((line) => line.endsWith('Mirabelle 0.1.0')).length, 6)
  test.equal(fine.lines.at(-1), 'All segments are running the same software version')
  test.equal(fine.exitStatus, 0)
  const mixed: ClusterState = {
    ...states.healthy,
    instances: states.healthy.instances.map((row) => (row.dbid === 3 ? { ...row, version: '0.0.9' } : row)),
  }
  test.match(render(mixed, { versions: true }).lines.at(-1), 'Not all segments are running the same software')
  test.equal(render(mixed, { versions: true }).exitStatus, 1)
  test.equal(render(states.mirrorDown, { versions: true }).exitStatus, 1, 'one cannot be asked')
  test.end()
})

t.test('-f shows the stream to the standby, and its absence', (test) => {
  const fine = render(states.healthy, { standby: true })
  test.match(fine.lines.join('\n'), /WAL Sender State: streaming\nSync state: sync/)
  test.equal(fine.exitStatus, 0)
  const down = render(states.standbyDown, { standby: true })
  test.match(down.lines.join('\n'), 'No entries found.')
  test.equal(valueOf(down.lines, 'Standby PID'), `Not found ${MARK}`)
  test.equal(down.exitStatus, 1)
  const none: ClusterState = {
    cluster: { ...states.healthy.cluster, standby: 'none' },
    instances: states.healthy.instances.filter(({ dbid }) => dbid !== 6),
  }
  test.match(render(none, { standby: true }).lines[0], 'Standby coordinator instance not configured')
  test.equal(valueOf(render(none, {}).lines, 'Coordinator standby'), 'No coordinator standby configured')
  test.end()
})

t.test('several reports together exit with the worst of them', (test) => {
  test.equal(render(states.mirrorDown, { quick: true, mirrors: true }).exitStatus, 1)
  test.equal(render(states.mirrorDown, { quick: true }).exitStatus, 0)
  test.match(
    render(states.mirrorDown, { quick: true }).lines.join('\n'),
    /# of up segments.* = 3\n# of down segments.* = 1/,
  )
  test.end()
})

t.test('transactions in doubt are marked and listed', (test) => {
  const state: ClusterState = {
    ...states.healthy,
    cluster: {
      ...states.healthy.cluster,
      inDoubt: 1,
      inDoubtGids: ['gid-7'],
      healthy: false,
      problems: ['1 in doubt'],
    },
  }
  test.equal(valueOf(render(state, {}).lines, 'Distributed transactions in doubt'), `1 ${MARK}`)
  test.match(render(state, { errors: true }).lines.join('\n'), /Distributed transactions in doubt\n +gid-7/)
  test.end()
})

t.test('without a coordinator the report says so first, what the agents see, and what to do', (test) => {
  const { lines, exitStatus } = renderHeadless(states.coordinatorDown)
  test.equal(exitStatus, 2)
  test.equal(lines[0], 'THE COORDINATOR IS DOWN')
  test.match(lines[1], /"mirabelle start".*"mirabelle standby activate"/)
  test.ok(lines.some((line) => /host1 +1 +-1 +Primary .*Not found +down/.test(line)))
  test.ok(lines.some((line) => /host2 +3 +1 +Primary +\d+ +\d+ +primary/.test(line)))
  test.equal(states.coordinatorDown.cluster.inDoubt, null, 'what only a coordinator knows is null')
  test.end()
})

t.test('when nothing answers at all the cluster is called stopped', (test) => {
  const { coordinatorDown } = states
  const { lines } = renderHeadless({
    ...coordinatorDown,
    agents: coordinatorDown.agents.map(({ host }) => ({ host, pid: null, error: 'refused' })),
    instances: coordinatorDown.instances.map((row) => ({ ...row, pid: null, state: null })),
  })
  test.equal(lines[0], 'THE CLUSTER IS NOT RUNNING')
  test.end()
})
