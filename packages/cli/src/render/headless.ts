/** `mirabelle state` when no coordinator answers: says so first, then what the hosts see. */
import type { HeadlessState } from '../cluster/state-of.ts'
import { columns, RULER, type Report } from './lines.ts'

export function renderHeadless(state: HeadlessState): Report {
  const { instances, agents, cluster } = state
  if (agents.every(({ pid }) => pid === null) && instances.every(({ pid }) => pid === null))
    return {
      lines: [
        'THE CLUSTER IS NOT RUNNING',
        ...agents.map(({ host, error }) => `   - the agent of ${host} does not answer: ${error}`),
        'Start it with "mirabelle start"',
      ],
      exitStatus: 2,
    }
  return {
    lines: [
      'THE COORDINATOR IS DOWN',
      ...cluster.problems.map((problem) => `   - ${problem}`),
      RULER,
      '   What the agents see',
      RULER,
      ...columns(
        ['Host', 'Agent'],
        agents.map(({ host, pid, error }) => [
          host,
          pid === null ? `does not answer: ${error}` : `running, pid ${pid}`,
        ]),
        (i) => agents[i]?.pid === null,
      ),
      RULER,
      ...columns(
        ['Host', 'Dbid', 'Content', 'Role', 'Port', 'PID', 'State'],
        instances.map((row) => [
          row.host,
          String(row.dbid),
          String(row.content),
          row.role === 'p' ? 'Primary' : 'Mirror',
          String(row.port),
          row.pid === null ? 'Not found' : String(row.pid),
          row.state ?? (row.pid === null ? 'down' : 'does not answer'),
        ]),
        (i) => instances[i]?.state === null,
      ),
      RULER,
    ],
    exitStatus: 2,
  }
}
