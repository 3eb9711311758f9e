// docs/fault-points.md from the catalogue of fault points.
import { code, generatedNote, page, table } from './markdown.mjs'

const actions = {
  suspend: 'the process waits there until it is told to resume; it answers heartbeats meanwhile',
  error: 'the operation fails with `fault.injected`; at a message its connection ends with it',
  crash: 'the process ends there as by `kill -9` (Greenplum: panic)',
  sleep: 'it waits there for a time',
  skip: 'messages only: the message is dropped, and nobody is told',
}

/** The page. `faultPointCatalog` is grouped by subject; `faultActions` are all that can happen. */
export function renderFaultPointsPage({ faultPointCatalog, faultActions }) {
  const undescribed = faultActions.filter((action) => !(action in actions))
  if (undescribed.length > 0)
    throw new Error(`fault-points-page.mjs does not describe ${undescribed.join(', ')}`)
  return page(
    generatedNote('the catalogues in packages/*/src'),
    '# Fault points',
    'Named places where a test makes a real process stop, fail, wait or die, after Greenplum’s fault injector. **They are not for production**: they do ' +
      'nothing, and cost a look at a variable that is undefined, unless the process was started with `MIRABELLE_FAULT_POINTS` in its environment. ' +
      'Without it every request about fault points is refused with `fault.refused`. With it, whoever holds the cluster key can stop or kill the process.',
    'An agent hands its environment to the instances that it starts, and `mirabelle start` hands its own to the agents of this machine. The variable holds ' +
      '`allow`, or faults to begin with, separated by `;`, or `@` and the name of a file that holds them (each process reads it when it starts):',
    '```sh\nMIRABELLE_FAULT_POINTS=allow mirabelle start\nMIRABELLE_FAULT_POINTS="send.mirrors.make=crash,in=cli" mirabelle recover\n' +
      'MIRABELLE_FAULT_POINTS="promotion.role=crash,in=dbid4; receive.fts.probe=suspend,start=2,end=-1" mirabelle start\n```',
    table(
      ['part', 'means'],
      [
        [code('point=action'), 'what happens where'],
        [code('start=N'), 'from the Nth time on that the point is reached; 1 without it'],
        [code('end=N'), 'up to the Nth time, -1 = always; as `start` without it'],
        [code('ms=N'), 'how long `sleep` waits'],
        [code('content=N'), 'only when the point is about this content'],
        [
          code('in=NAME'),
          'only in this process: `cli`; `agent` or the name of its host; `instance` or `dbid` and its number. All without it',
        ],
      ],
    ),
    'In running processes `mirabelle fault` sets, watches, resumes and resets them, over the connections that the command line always uses:',
    '```sh\nmirabelle fault inject two-phase.decided suspend --dbid 1\nmirabelle fault wait two-phase.decided --dbid 1\n' +
      'mirabelle fault status --dbid 1\nmirabelle fault resume two-phase.decided --dbid 1\n```',
    'One fault can be set at a point at a time. It is `set` until it has happened, then `triggered`, and `completed` when it cannot happen any more; ' +
      'the point is counted from the moment that a fault is set there. It ends with the process, `reset`, or its last occurrence.',
    table(
      ['action', 'what happens'],
      faultActions.map((action) => [code(action), actions[action]]),
    ),
    '## Messages',
    'Every message of [the protocol](protocol.md) is a point on either side: `send.TYPE` before it leaves, `receive.TYPE` before anybody sees it, answers ' +
      'too; only those that work the fault points are none. Messages of one connection keep their order: what comes behind a suspended one waits. A message ' +
      'is about the content that it names, else about its peer’s.',
    ...Object.values(faultPointCatalog).flatMap(({ title, points }) => [
      `## ${title}`,
      table(
        ['point', 'when a process gets there', 'in'],
        Object.entries(points).map(([name, { doc, file }]) => [code(name), doc, code(`packages/${file}`)]),
      ),
    ]),
  )
}
