/** A `dispatch` connection of a coordinator: its requests, and the checks before the lane is its (I4). */
import { checkMeant, refusal, type InstanceActor } from '@mirabelle/instance'
import { MirabelleError, type Message, type MessageOf } from '@mirabelle/messages'
import type { Clock, Connection, Hello, Responder } from '@mirabelle/runtime'
import type { DispatchLane } from './dispatch-lane.actor.ts'
import type { PrimarySoon } from './primary-soon.ts'
import { Session } from './session.ts'

/** Takes the connection over. */
export function acceptDispatch(
  instance: InstanceActor,
  lane: DispatchLane,
  clock: Clock,
  soon: PrimarySoon,
  connection: Connection,
  hello: Hello,
): void {
  const session = new Session(connection, hello.epoch, clock)
  connection.setHandlers({
    onMessage: (message, respond) => {
      try {
        handle({ instance, lane, soon }, session, message, respond)
      } catch (error) {
        if (!(error instanceof MirabelleError)) throw error
        session.end(error)
        lane.left(session)
      }
    },
    onClose: () => lane.left(session),
  })
}

/** Who answers. */
interface Answering {
  readonly instance: InstanceActor
  readonly lane: DispatchLane
  readonly soon: PrimarySoon
}

function handle(
  answering: Answering,
  session: Session,
  message: Message,
  respond: Responder | undefined,
): void {
  const { instance, lane } = answering
  switch (message.type) {
    case 'query.dispatch':
      lane.dispatch(session, message.items)
      return
    case 'query.credit':
      session.credit(message.seq, message.bytes)
      return
    case 'query.cancel':
      lane.cancel(session, message.seq)
      return
    case 'dispatch.hasRun':
      answer(Promise.resolve({ type: 'dispatch.hasRunIs', hasRun: lane.hasRun(message.seq) }), respond)
      return
    case 'dispatch.open':
      answer(open(answering, session, message), respond)
      return
    case 'dispatch.settled':
      answer(settled(instance, message), respond)
      return
    default:
      throw new MirabelleError('message.bad', `${message.type} is nothing that a lane takes`)
  }
}

function answer(reply: Promise<Message>, respond: Responder | undefined): void {
  reply.then(
    (message) => respond?.reply(message as never),
    (error: unknown) => respond?.fail(error),
  )
}

async function open(
  { instance, lane, soon }: Answering,
  session: Session,
  message: MessageOf<'dispatch.open'>,
): Promise<Message> {
  checkMeant(instance, message, 'dispatch.open')
  if (session.opened) throw new MirabelleError('message.bad', 'dispatch.open came twice on one connection')
  await instance.admitEpoch(message.epoch, 'dispatch.open')
  await soon.settled(instance)
  refuse(instance, 'dispatch.open')
  await lane.admit(session)
  // While older statements ended, another coordinator may have been promised obedience.
  await instance.admitEpoch(message.epoch, 'dispatch.open')
  refuse(instance, 'dispatch.open')
  const { primary } = instance
  if (primary === undefined) throw new MirabelleError('not.ready', `dbid ${instance.dbid} is not ready`)
  session.opened = true
  session.incarnation = message.incarnation
  session.nextSeq = message.nextSeq
  const known = primary.openLane(message.incarnation, message.nextSeq)
  instance.log.info(
    { incarnation: message.incarnation, nextSeq: message.nextSeq, epoch: message.epoch },
    'a coordinator has opened the lane',
  )
  return {
    type: 'dispatch.opened',
    timeline: primary.timeline,
    lsn: primary.hub.endLsn,
    generation: lane.generation,
    settledFloor: known.floor,
  }
}

/** What took effect is told only once it is durable where it has to be (I1). */
async function settled(instance: InstanceActor, message: MessageOf<'dispatch.settled'>): Promise<Message> {
  refuse(instance, 'dispatch.settled')
  const known = instance.primary?.hub.settledKnown()
  const gate = instance.gate
  if (known === undefined || gate === undefined || known.incarnation !== message.incarnation) {
    return { type: 'dispatch.settledAre', floor: Number.MAX_SAFE_INTEGER, settled: [] }
  }
  const asked = new Set(message.seqs)
  const found = known.entries.filter(([seq]) => asked.has(seq))
  await gate.passed(found.reduce((max, [, lsn]) => Math.max(max, lsn), 0))
  return { type: 'dispatch.settledAre', floor: known.floor, settled: found }
}

function refuse(instance: InstanceActor, request: 'dispatch.open' | 'dispatch.settled'): void {
  const error = refusal(request, instance.roleState, instance)
  if (error !== undefined) throw error
}
