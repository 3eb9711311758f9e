/** What a standby asks before it takes over: does the old coordinator still answer, and do the segments know that this standby is behind? */
import {
  isMirabelleError,
  MirabelleError,
  TOPOLOGY_SETTING,
  type Assignment,
  type Endpoint,
  type MessageOf,
  type ReplyOf,
} from '@mirabelle/messages'
import type { Hello, Ports } from '@mirabelle/runtime'
import { askOnce } from './ask-once.ts'
import { promiseQuorum } from './quorum.ts'

const ASK_TIMEOUT_MS = 700
/** Where the answers so far are too few, the slow ones are waited for: with a host lost each of the others may be needed. */
const PATIENCE_MS = 5_000

interface Known {
  readonly dbid: number
  readonly content: number
  readonly endpoint: Endpoint
}

/** The instances that the standby was told of. Throws `not.ready` when it was never told: then nothing can be checked. */
function knownInstances(assignment: Assignment): Known[] {
  const text = assignment.settings[TOPOLOGY_SETTING]
  if (text !== undefined) return JSON.parse(text) as Known[]
  throw new MirabelleError(
    'not.ready',
    `dbid ${assignment.dbid} was never told of the segments and cannot ask them whether it has everything: start the old coordinator, or accept a possible loss with --force`,
  )
}

/** Rejects with `coordinator.alive` when the old coordinator answers as primary. A hung or dead one, or a dead host, costs at most 0.7 s. */
export async function refuseWhileCoordinatorLives(
  ports: Ports,
  hello: Hello,
  assignment: Assignment,
): Promise<void> {
  if (assignment.peer === null) return
  let status: MessageOf<'instance.statusIs'>
  try {
    status = await askOnce(
      ports,
      hello,
      assignment.peer.endpoint,
      { type: 'instance.status' },
      ASK_TIMEOUT_MS,
    )
  } catch (error) {
    ports.log.info({ dbid: assignment.peer.dbid, err: error }, 'the old coordinator does not answer')
    return
  }
  if (status.roleState === 'primary' || status.roleState === 'starting') {
    throw new MirabelleError(
      'coordinator.alive',
      `the coordinator dbid ${status.dbid} (pid ${status.pid}) is still active: stop it first, or use --force`,
    )
  }
}

/**
 * Rejects with `standby.stale` when a segment has recorded that the old coordinator went on without this standby, with `not.ready` when too few
 * segments answer to be sure. Resolves to the highest epoch that they have promised. Asks only: an activation that is refused here has changed nothing.
 */
export async function refuseWhenStale(
  ports: Ports,
  hello: Hello,
  assignment: Assignment,
  epoch: number,
): Promise<number> {
  try {
    await askPromises(ports, { ...hello, epoch }, assignment, epoch)
    return epoch
  } catch (error) {
    // An activation of this standby was interrupted after some of them had promised its epoch: it goes on from there.
    const promised = isMirabelleError(error, 'epoch.stale') ? error.detail?.['epoch'] : undefined
    if (typeof promised !== 'number' || promised <= epoch) throw error
    return refuseWhenStale(ports, hello, assignment, promised)
  }
}

/**
 * Has enough segments promise `epoch`, which nobody has promised yet: from then on the old coordinator cannot record any more that it goes on
 * alone, and so cannot answer anything that this standby lacks. Rejects as `refuseWhenStale` does.
 */
export async function claimEpoch(
  ports: Ports,
  hello: Hello,
  assignment: Assignment,
  epoch: number,
): Promise<void> {
  await askPromises(ports, { ...hello, epoch }, assignment, epoch)
}

async function askPromises(ports: Ports, hello: Hello, assignment: Assignment, epoch: number): Promise<void> {
  const others = knownInstances(assignment).filter((one) => one.content >= 0)
  const needed = promiseQuorum(others.length)
  const answers = await answersOf(ports, hello, others, epoch, needed)
  let promised = 0
  for (const answer of answers) {
    if (answer.status === 'fulfilled') {
      promised++
      if (!answer.value.standbyStale) continue
      throw new MirabelleError(
        'standby.stale',
        'the standby coordinator lacks changes that the old coordinator made without it: start the old coordinator again, or accept the loss with --force',
      )
    }
    if (isMirabelleError(answer.reason, 'epoch.stale')) throw answer.reason
  }
  if (promised < needed) {
    throw new MirabelleError(
      'not.ready',
      `only ${promised} of ${others.length} segment instances answer, ${needed} are needed to be sure that the old coordinator has not gone on without this standby: start more of them, or accept a possible loss with --force`,
    )
  }
}

type Answer = PromiseSettledResult<ReplyOf<'epoch.promise'>>

/** Asks all at once. Resolves with the answers so far, as soon as those who answer at once are heard and enough have promised; else when each has answered or failed. */
async function answersOf(
  ports: Ports,
  hello: Hello,
  others: readonly Known[],
  epoch: number,
  needed: number,
): Promise<readonly Answer[]> {
  const answers: Answer[] = []
  let isFirstTimeOver = false
  await new Promise<void>((resolve) => {
    const look = (): void => {
      const promised = answers.filter(({ status }) => status === 'fulfilled').length
      if (answers.length === others.length || (isFirstTimeOver && promised >= needed)) resolve()
    }
    const timer = ports.clock.setTimer(ASK_TIMEOUT_MS, () => {
      isFirstTimeOver = true
      look()
    })
    const heard = (answer: Answer): void => {
      answers.push(answer)
      if (answers.length === others.length) timer.clear()
      look()
    }
    for (const { dbid, content, endpoint } of others)
      askOnce(ports, hello, endpoint, { type: 'epoch.promise', dbid, content, epoch }, PATIENCE_MS).then(
        (value) => heard({ status: 'fulfilled', value }),
        (reason: unknown) => heard({ status: 'rejected', reason }),
      )
    look()
  })
  return [...answers]
}
