/** One round: a command is killed, or something that it needs; what an administrator would do first is done; the same command is run again. */
import { readdir, readFile } from 'node:fs/promises'
import { FaultPoints } from '../cluster/fault-points.ts'
import { pause, waitFor } from '../cluster/wait-for.ts'
import type { SimRandom } from '../sim/sim-random.ts'
import { untruths } from './check-cluster.ts'
import { lastWords, startCommand, type CommandEnd, type RunningCommand } from './command-line.ts'
import type { MatrixCommand, Situation } from './commands.ts'
import type { Kill, Victim } from './draw.ts'
import { killPid, type World } from './world.ts'

/** No command may take longer, dead hosts or not. */
const LIMIT_MS = 150_000
const TRUE_WITHIN_MS = 30_000

export interface Round {
  /** Something died as drawn. False when the command had ended before, or never came there. */
  readonly killed: boolean
  readonly first: CommandEnd
  /** Why the second run could not end well before an administrator had mended something else; empty when it could. */
  readonly help: string
  /** What is wrong; empty when all ended well. */
  readonly problems: readonly string[]
}

/** Without a kill: how long the command takes, and whether it works at all. */
export async function runUnharmed(world: World, command: MatrixCommand): Promise<CommandEnd> {
  await world.settle()
  const situation = await command.prepare(world)
  const end = await startCommand(world.dir, situation.args, LIMIT_MS).ended
  await world.cluster.lookAgain()
  const missing = await situation.missing()
  if (end.status !== 0 || missing.length > 0)
    throw new Error(
      `${situation.args.join(' ')} does not work even unharmed: ${[...missing, lastWords(end)].join('; ')}`,
    )
  return end
}

export async function runRound(
  world: World,
  command: MatrixCommand,
  kill: Kill,
  usualMs: number,
  random: SimRandom,
): Promise<Round> {
  await world.settle()
  const situation = await command.prepare(world)
  const before = await world.pids()
  const host = random.pick(situation.hosts)
  const dead = await arrange(world, situation, kill, host, before)
  const running = startCommand(world.dir, situation.args, LIMIT_MS, dead.inCommand)
  const timed =
    'at' in kill
      ? undefined
      : strike(world, situation, kill.victim, host, before, running, kill.afterShare * usualMs)
  const first = await running.ended
  const struck = await timed
  const killed = struck ?? (await dead.happened(first))
  const problems = first.hung ? [`it hung for ${LIMIT_MS} ms: ${lastWords(first)}`] : []
  // What was set for processes that are started must not meet them again.
  FaultPoints.atStart()
  await world.noFaults()
  if (command.withoutCoordinator !== true) problems.push(...(await coordinatorBack(world)))
  // What ended well is not asked for again: there is nothing to do, and some commands refuse to do nothing.
  let again = first.status === 0 ? first : await startCommand(world.dir, situation.args, LIMIT_MS).ended
  await world.cluster.lookAgain()
  let help = ''
  if (again.status !== 0 && !again.hung) {
    // It may not be possible any more, because roles have changed: then it says so, and is possible when they are as they were.
    help = lastWords(again)
    await balanced(world)
    again = await startCommand(world.dir, situation.args, LIMIT_MS).ended
  }
  if (again.hung) problems.push(`run again it hung: ${lastWords(again)}`)
  else if (again.status !== 0)
    problems.push(`run again it ended with ${again.status}: ${lastWords(again)}; before: ${help}`)
  else problems.push(...(await situation.missing()).map((one) => `it said that it ended well, but ${one}`))
  try {
    await world.settle()
    await world.serves()
    problems.push(...(await situation.missing()).map((one) => `in the end ${one}`))
    problems.push(...(await untruthsThatLast(world)), ...(await world.lost()))
  } catch (error) {
    const { message, cause } = error as Error
    problems.push(
      `the cluster did not come back: ${message}${cause instanceof Error ? `: ${cause.message}` : ''}`,
    )
  }
  return { killed, first, help, problems: [...new Set(problems)] }
}

/** What is wrong for a moment (an instance that starts, an answer on its way) is no untruth. */
async function untruthsThatLast(world: World): Promise<string[]> {
  let found: string[] = []
  await waitFor(
    'a catalog that is true',
    async () => {
      found = await untruths(world)
      return found.length === 0
    },
    TRUE_WITHIN_MS,
    500,
  ).catch(() => undefined) // what was found last is told
  return found
}

interface Arranged {
  /** Faults of the command itself. */
  readonly inCommand: string
  readonly happened: (first: CommandEnd) => Promise<boolean>
}

/** Sets the fault of a kill at a point. */
async function arrange(
  world: World,
  { instances }: Situation,
  kill: Kill,
  host: string,
  before: ReadonlyMap<number, number>,
): Promise<Arranged> {
  if (!('at' in kill)) return { inCommand: '', happened: () => Promise.resolve(false) }
  const { victim, at, occurrence } = kill
  if (victim === 'cli')
    return {
      inCommand: `${at}=crash,start=${occurrence},in=cli`,
      happened: ({ stderr }) => Promise.resolve(stderr.includes(`fault point ${at}: crash`)),
    }
  if (victim === 'agent') {
    await world.faults.inject({ agent: host }, at, 'crash', { start: occurrence })
    // It has died when it answers no more, or has been started anew since, without faults.
    const isSet = async (): Promise<boolean> => (await world.faults.status({ agent: host })).length > 0
    return { inCommand: '', happened: async () => !(await isSet().catch(() => false)) }
  }
  const dbid = instances[victim]
  if (dbid !== undefined && before.has(dbid))
    await world.faults.inject(dbid, at, 'crash', { start: occurrence })
  // A target may pass the point in the process that runs now or in the one that the command starts.
  if (victim === 'target') FaultPoints.atStart(`${at}=crash,start=${occurrence},in=instance`)
  const crashes = await crashesAt(world, at)
  return { inCommand: '', happened: async () => (await crashesAt(world, at)) > crashes }
}

/** How often instances have died at the point, as they said last of all; folders that are gone do not count. */
async function crashesAt(world: World, at: string): Promise<number> {
  let crashes = 0
  for (const host of world.cluster.facts.hosts)
    for (const folder of await readdir(host.dir)) {
      const log = await readFile(`${host.dir}/${folder}/instance.log`, 'utf8').catch(() => '') // no instance, or gone meanwhile
      crashes += log.split(`fault point ${at}: crash`).length - 1
    }
  return crashes
}

/** Kills somebody after a time. Resolves with whether it still mattered. */
async function strike(
  world: World,
  { instances }: Situation,
  victim: Victim,
  host: string,
  before: ReadonlyMap<number, number>,
  running: RunningCommand,
  afterMs: number,
): Promise<boolean> {
  let over = false
  void running.ended.then(() => (over = true))
  await pause(afterMs)
  if (over) return false
  if (victim === 'cli') {
    running.kill()
    return true
  }
  if (victim === 'agent') {
    const { agentPort } = world.cluster.facts.hosts.find(({ name }) => name === host) as { agentPort: number }
    const endpoint = { addresses: ['127.0.0.1'], port: agentPort }
    return killPid((await world.cluster.ask(endpoint, { type: 'agent.status' })).pid)
  }
  const dbid = instances[victim]
  const pids = await world.pids()
  // A target that the command makes is whatever runs now and did not before.
  const made = [...pids].find(([one]) => !before.has(one))?.[1]
  const pid = dbid === undefined ? made : pids.get(dbid)
  return pid !== undefined && killPid(pid)
}

/** A dead coordinator has to be started before anything can be asked of it; one that is about to stop may still stop. */
async function coordinatorBack(world: World): Promise<string[]> {
  let said = ''
  const back = await waitFor(
    'a coordinator that answers',
    async () => {
      const dbid = await world.coordinator()
      if ((await world.pids()).has(dbid)) {
        await (await world.admin()).state()
        return (await world.pids()).has(dbid)
      }
      const start = await startCommand(world.dir, ['start'], LIMIT_MS).ended
      said = lastWords(start)
      return false
    },
    LIMIT_MS,
    200,
  ).catch(() => false)
  return back ? [] : [`the coordinator did not come back: ${said}`]
}

/** Every copy in its preferred role again, as before the command. */
async function balanced(world: World): Promise<void> {
  await world.settle()
  await (await world.admin()).rebalance()
  await world.settle()
}
