/**
 * What is asked of an instance on a `control` connection, and the answers (replication §3, §5). Nothing here waits for PostgreSQL: a probe
 * is answered in milliseconds while a query runs for minutes.
 */
import {
  MirabelleError,
  type Assignment,
  type Content,
  type Dbid,
  type Epoch,
  type Message,
  type MessageOf,
  type Settings,
  type SettingTexts,
} from '@mirabelle/messages'
import { answerFault, faults, type Connection, type Logger, type Responder } from '@mirabelle/runtime'
import type { PrimarySide } from '../primary/primary-side.actor.ts'
import type { DiskCheck } from '../probe/disk-check.ts'
import { refusal, type RoleRequest } from '../role/accepts.ts'
import type { RoleState } from '../role/instance-role.machine.ts'
import type { DurableState } from '../state/durable-state.ts'

export type StopMode = MessageOf<'instance.stop'>['mode']

/** What the handlers see of the instance. */
export interface ControlSubject {
  readonly dbid: Dbid
  readonly content: Content
  readonly roleState: RoleState
  readonly reason: string
  readonly primary: PrimarySide | undefined
  readonly durable: DurableState
  /** The other half of the pair, as the instance was told; null without one. */
  readonly mirrorDbid: Dbid | null
  readonly diskCheck: DiskCheck
  readonly log: Logger
  settings(): Settings
  /** Throws `epoch.stale` for a lower epoch; resolves when a higher one is promised and older statements cannot run any more. */
  admitEpoch(epoch: Epoch, who: string): Promise<void>
  requestPromote(): void
  /** The answer to FTS; with `mirror`, nothing good is said of a mirror that is another one than the catalog's. */
  probed(mirror?: Dbid | null): MessageOf<'fts.probed'>
  status(): MessageOf<'instance.statusIs'>
  /** How full the disk is, for `status`. Never rejects. */
  lookAtDisk(): Promise<void>
  reassign(assignment: Assignment): Promise<void>
  configure(settings: SettingTexts): Promise<void>
  stop(mode: StopMode): Promise<void>
}

/** Part of the probe timeout that the disk check may use, so that its failure is still told within it. */
const DISK_CHECK_SHARE = 0.8

/** Handles a control message. False when it is none of the instance's. */
export function handleControl(
  subject: ControlSubject,
  connection: Connection,
  message: Message,
  respond: Responder | undefined,
): boolean {
  const answer = answerTo(subject, connection, message) ?? answerFault(message)
  if (answer === undefined) return false
  answer.then(
    (reply) => respond?.reply(reply as never),
    (error: unknown) => {
      if (respond === undefined) subject.log.warn({ err: error, type: message.type }, 'a message was refused')
      else respond.fail(error)
    },
  )
  return true
}

function answerTo(
  subject: ControlSubject,
  connection: Connection,
  message: Message,
): Promise<Message> | undefined {
  switch (message.type) {
    case 'fts.probe':
      return probe(subject, message)
    case 'segment.promote':
      return promote(subject, message)
    case 'segment.syncRepOff':
      return syncRepOff(subject, message)
    case 'epoch.promise':
      return promise(subject, message)
    case 'standby.mark':
      return mark(subject, message)
    case 'instance.status':
      return subject.lookAtDisk().then(() => subject.status())
    case 'instance.stop':
      return stop(subject, message, connection)
    case 'instance.assign':
      return assign(subject, message)
    case 'instance.configure':
      return configure(subject, message)
    default:
      return undefined
  }
}

async function probe(subject: ControlSubject, message: MessageOf<'fts.probe'>): Promise<Message> {
  await admit(subject, message)
  const state = subject.roleState
  if (state === 'primary' || state === 'mirror') {
    await subject.diskCheck.check(subject.settings().gp_fts_probe_timeout * DISK_CHECK_SHARE)
  }
  if (faults !== undefined) await faults.at('probe.answer')
  if (message.mirror === subject.mirrorDbid) await subject.primary?.turnSyncRepOn()
  // The role may have changed while the disk worked.
  refuse(subject, 'fts.probe')
  return subject.probed(message.mirror)
}

async function promote(subject: ControlSubject, message: MessageOf<'segment.promote'>): Promise<Message> {
  await admit(subject, message)
  subject.requestPromote()
  return subject.probed()
}

async function syncRepOff(
  subject: ControlSubject,
  message: MessageOf<'segment.syncRepOff'>,
): Promise<Message> {
  await admit(subject, message)
  if (subject.primary === undefined) await subject.durable.setSyncRep(false)
  else await subject.primary.turnSyncRepOff()
  return subject.probed()
}

async function promise(subject: ControlSubject, message: MessageOf<'epoch.promise'>): Promise<Message> {
  await admit(subject, message)
  const now = subject.probed()
  return {
    type: 'epoch.promised',
    epoch: subject.durable.epoch,
    isRoleMirror: now.isRoleMirror,
    standbyStale: subject.durable.standbyStale,
    timeline: now.timeline,
    flushLsn: now.flushLsn,
  }
}

async function mark(subject: ControlSubject, message: MessageOf<'standby.mark'>): Promise<Message> {
  refuse(subject, 'standby.mark')
  await subject.admitEpoch(message.epoch, 'standby.mark')
  await subject.durable.setStandbyStale(message.stale)
  return { type: 'standby.marked', stale: subject.durable.standbyStale }
}

async function stop(
  subject: ControlSubject,
  message: MessageOf<'instance.stop'>,
  connection: Connection,
): Promise<Message> {
  refuse(subject, 'instance.stop')
  if (message.epoch !== 0) await subject.admitEpoch(message.epoch, 'instance.stop')
  subject.log.info({ mode: message.mode, from: connection.peer.name }, 'told to stop')
  // The answer says that the stop has begun; the exit of the process says that it is complete.
  void subject.stop(message.mode)
  return { type: 'ok' }
}

async function assign(subject: ControlSubject, message: MessageOf<'instance.assign'>): Promise<Message> {
  refuse(subject, 'instance.assign')
  const { assignment } = message
  checkMeant(subject, { dbid: assignment.dbid, content: assignment.content }, 'instance.assign')
  await subject.admitEpoch(assignment.epoch, 'instance.assign')
  await subject.reassign(assignment)
  return { type: 'ok' }
}

async function configure(
  subject: ControlSubject,
  message: MessageOf<'instance.configure'>,
): Promise<Message> {
  await admit(subject, message)
  await subject.configure(message.settings)
  return { type: 'ok' }
}

type Addressed = MessageOf<
  'fts.probe' | 'segment.promote' | 'segment.syncRepOff' | 'epoch.promise' | 'instance.configure'
>

/** The three questions before every request of a coordinator: is it meant for me, may you still ask, can I do it now? */
async function admit(subject: ControlSubject, message: Addressed): Promise<void> {
  checkMeant(subject, message, message.type)
  await subject.admitEpoch(message.epoch, message.type)
  refuse(subject, message.type)
}

/** Throws `wrong.content` when the message is for another instance. */
export function checkMeant(
  subject: { readonly dbid: Dbid; readonly content: Content },
  meant: { readonly dbid: Dbid; readonly content: Content },
  request: string,
): void {
  if (meant.dbid === subject.dbid && meant.content === subject.content) return
  throw new MirabelleError(
    'wrong.content',
    `${request} was meant for dbid ${meant.dbid} of content ${meant.content}, but this is dbid ${subject.dbid} of content ${subject.content}`,
    { detail: { dbid: subject.dbid, content: subject.content } },
  )
}

function refuse(subject: ControlSubject, request: RoleRequest): void {
  const error = refusal(request, subject.roleState, subject)
  if (error !== undefined) throw error
}
