/** Faults in the time in which a mirror is none yet: while it catches up, while its base is copied. */
import type { MessageOf } from '@mirabelle/messages'
import { acts, type FaultTools } from './fault-tools.ts'
import type { Struck } from './fault-triggers.ts'
import type { RunningInstance } from './sim-cluster.ts'

/** A mirror goes, comes back, makes nothing durable for a while; meanwhile its primary goes, too. */
export function failWhileCatchingUp(tools: FaultTools): void {
  const { cluster } = tools.context
  const { random } = tools
  const mirror = tools.one(acts('mirror'))
  if (mirror === undefined) return
  const { dbid, content } = mirror.assignment
  const { host } = mirror.process
  const hangMs = random.between(400, 3_000)
  const killMs = random.between(0, 1.2 * hangMs)
  const hang = random.chance(0.5)
  const untilBack = (): void => {
    const stream = primaryOf(tools, content)?.instance.primary?.hub.mirrorStatus()
    if (stream?.dbid !== dbid) return tools.after(20, untilBack)
    if (stream.state === 'none') return tools.after(0.5, untilBack)
    if (hang) host.disk.hangsUntilMs = cluster.world.nowMs + hangMs
    else host.disk.slowness = 200
    tools.say(`the disk of ${host.name}, where dbid ${dbid} comes back, ${hang ? 'hangs' : 'is slow'}`)
    tools.after(hangMs, () => (host.disk.slowness = 1))
    tools.after(killMs, () => primaryOf(tools, content)?.process.kill())
  }
  loseMirror(tools, mirror, 'auto', untilBack)
}

/** The base of a mirror is copied anew, and in the middle of that the mirror, its host, or its primary goes. */
export function failWhileCopying(tools: FaultTools): void {
  const { cluster } = tools.context
  const { random } = tools
  const mirror = tools.one(acts('mirror'))
  if (mirror === undefined) return
  const { dbid, content } = mirror.assignment
  const drawn = random.next()
  const waitMs = random.between(0, 1_500)
  const strike = (): void => {
    const copying = cluster.running.get(dbid)
    if (copying === undefined) return
    if (drawn < 0.4) copying.process.kill()
    else if (drawn < 0.6) tools.power(copying.process.host)
    else if (drawn < 0.8) primaryOf(tools, content)?.process.kill()
    else tools.pause(primaryOf(tools, content)?.process)
  }
  const untilCopying = (): void => {
    if (cluster.running.get(dbid)?.instance.roleState !== 'copying') return tools.after(20, untilCopying)
    tools.after(waitMs, strike)
  }
  loseMirror(tools, mirror, random.pick(['full', 'differential']), untilCopying)
}

/** The end of a mirror's WAL cannot be read when it is promoted, though it could be when it was received. */
export function shortRecovery(tools: FaultTools): void {
  const mirror = tools.one(acts('mirror'))
  if (mirror === undefined) return
  const { content, datadir, dbid } = mirror.assignment
  const { host } = mirror.process
  const { disk } = host
  disk.endsEarlyBelow = `${datadir}/wal`
  tools.say(`the disk of ${host.name} cannot read the last record of WAL of dbid ${dbid}`)
  tools.later(() => (disk.endsEarlyBelow = undefined))
  primaryOf(tools, content)?.process.kill()
}

/** A primary goes, and then its mirror in the middle of its promotion, which a new process has to complete; now and then the coordinator goes with it. */
export function failWhilePromoting(tools: FaultTools): void {
  const { cluster, triggers, hurry } = tools.context
  const { random } = tools
  const mirror = tools.one(acts('mirror'))
  if (mirror === undefined) return
  const { content } = mirror.assignment
  const drawn = random.next()
  const waitMs = random.between(0, random.pick([3, 80]))
  const coordinatorGoes = random.chance(0.3)
  const strike = ({ to }: Struck): void => {
    tools.after(waitMs, () => {
      if (to === undefined) return
      tools.say(`${to.name} is hit in its promotion`)
      if (drawn < 0.6) to.kill()
      else if (drawn < 0.8) tools.power(to.host)
      else tools.pause(to)
      if (coordinatorGoes) cluster.coordinator()?.process.kill()
    })
  }
  triggers.atMessage(random, content, strike, ['segment.promote'])
  hurry()
  primaryOf(tools, content)?.process.kill()
}

/** A primary and the coordinator go. What starts the primary again does not come to its end while its mirror is in sync: that has to take over all the same. */
export function hungRecovery(tools: FaultTools): void {
  const { cluster } = tools.context
  const primary = tools.one(acts('primary'))
  const coordinator = cluster.coordinator()
  if (primary === undefined || coordinator === undefined) return
  const { dbid, datadir } = primary.assignment
  const { disk } = primary.process.host
  const mayEnd = (): boolean => {
    const topology = cluster.newestTopology()
    const row = topology?.row(dbid)
    return topology !== undefined && (row?.role !== 'p' || row.mode !== 's')
  }
  disk.hangsRecovery = { in: datadir, mayEnd }
  tools.later(() => (disk.hangsRecovery = undefined))
  coordinator.process.kill()
  primary.process.kill()
}

/**
 * A primary goes, or is stopped, and somebody starts what does not run. That takes long, because the disk of its host is slow or its end is noticed late: its mirror takes over
 * meanwhile, and it is fenced.
 */
export function failWhileStarting(tools: FaultTools): void {
  const { cluster, operator } = tools.context
  const { random } = tools
  const primary = tools.one(acts('primary'))
  if (primary === undefined) return
  const { disk, name } = primary.process.host
  if (random.chance(0.5)) {
    disk.slowness = random.pick([30, 200, 1_000])
    tools.say(`the disk of ${name} is ${disk.slowness} times slower`)
    tools.later(() => (disk.slowness = 1))
    primary.process.kill()
    return tools.after(random.between(0, 6), () => operator.start())
  }
  cluster.certificateDelayMs = random.pick([300, 1_000, 3_000])
  tools.say(`death certificates come ${cluster.certificateDelayMs} ms late`)
  tools.later(() => (cluster.certificateDelayMs = 0))
  operator.stopOne(primary.assignment, 'immediate')
  tools.after(random.between(0, random.pick([5, 300])), () => operator.start())
}

/** Kills a mirror; once it is marked down the administrator recovers it, unless `mode` is undefined, and `then` begins. */
export function loseMirror(
  tools: FaultTools,
  { process, assignment: { dbid } }: RunningInstance,
  mode: MessageOf<'mirrors.plan'>['mode'] | undefined,
  then: () => void = () => undefined,
): void {
  const { cluster, operator } = tools.context
  const untilDown = (): void => {
    if (cluster.coordinator()?.service?.topology.row(dbid)?.status !== 'd') return tools.after(50, untilDown)
    if (mode !== undefined) operator.recover(mode)
    then()
  }
  process.kill()
  untilDown()
}

/** Who acts as primary of a content, if anybody does. */
export const primaryOf = (tools: FaultTools, content: number) => actingAs('primary', tools, content)

/** The mirror of a content, if it runs. */
export const mirrorOf = (tools: FaultTools, content: number) => actingAs('mirror', tools, content)

function actingAs(role: string, { context }: FaultTools, content: number): RunningInstance | undefined {
  for (const running of context.cluster.running.values())
    if (running.assignment.content === content && acts(role)(running)) return running
  return undefined
}
