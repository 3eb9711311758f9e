/** Faults in the middle of statements: answers that get lost with their primary, backends that start anew between two parts of a transaction. */
import { acts, type FaultTools } from './fault-tools.ts'
import { mirrorOf } from './mirror-faults.ts'
import type { RunningInstance } from './sim-cluster.ts'

/** So long a mirror may take to come back before its primary goes all the same, ms. */
const COMES_BACK_MS = 400

/**
 * Answers of a primary do not reach the coordinator any more, and then the primary goes: what took effect its mirror has to know. Mostly that has just come back, and heard of
 * statements before it had their WAL.
 */
export function loseAnswers(tools: FaultTools): void {
  const { cluster, triggers, hurry } = tools.context
  const { fabric } = cluster
  const { random } = tools
  const coordinator = cluster.coordinator()?.process.host
  const primary = tools.one(acts('primary'))
  if (coordinator === undefined || primary === undefined || primary.process.host === coordinator) return
  const { host } = primary.process
  const mirror = mirrorOf(tools, primary.assignment.content)?.process.host
  const waitMs = random.pick([0, random.between(0, 2), random.between(0, 8)])
  const withPower = random.chance(0.2)
  let isOver = false
  const strike = (): void => {
    if (isOver) return
    isOver = true
    if (withPower) tools.power(host)
    else primary.process.kill()
    fabric.reset(coordinator, host)
    fabric.mend(host, coordinator)
  }
  hurry()
  tools.after(random.between(0, 3), () => fabric.cut(host, coordinator))
  if (mirror === undefined || mirror === host || random.chance(0.4)) {
    tools.after(random.between(4, 40), strike)
    return
  }
  tools.after(4, () => fabric.reset(host, mirror))
  const back = random.pick(['wal.started', 'wal.started', 'wal.data', 'wal.flushed'])
  triggers.atMessage(random, primary.assignment.content, () => tools.after(waitMs, strike), [back])
  tools.after(COMES_BACK_MS, strike)
}

/** The backend of a primary starts anew: what was open in it is rolled back. Mostly in the middle of a transaction. */
export function restartBackend(tools: FaultTools): void {
  const { cluster, triggers, focus, hurry } = tools.context
  const { random } = tools
  const restart = (running: RunningInstance | undefined): void => running?.engine.restartBackend()
  if (random.chance(0.3)) return restart(tools.one(({ instance }) => instance.roleState === 'primary'))
  const type = random.pick(['PREPARE TRANSACTION', 'BEGIN', 'COMMIT\0', 'query.dispatch'])
  const waitMs = random.pick([random.between(0, 1), random.between(0, 3)])
  hurry()
  triggers.atMessage(
    random,
    tools.isFocused() ? focus : undefined,
    ({ to }) => tools.after(waitMs, () => restart(cluster.instanceIn(to))),
    [type],
  )
}
