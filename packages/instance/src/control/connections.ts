/**
 * Connections that arrive at an instance, by purpose: control, wal, dispatch, copy (architecture §5). Owned by the instance actor; what is
 * refused here is refused with a typed error that the other side sees.
 */
import { COORDINATOR_CONTENT, MirabelleError, type Assignment, type Message } from '@mirabelle/messages'
import type { Connection, Hello, Responder } from '@mirabelle/runtime'
import type { InstanceHooks } from '../instance-options.ts'
import { mayBePrimarySoon, refusal } from '../role/accepts.ts'
import { handleControl, type ControlSubject } from './control.ts'

export interface ConnectionSubject extends ControlSubject {
  readonly hooks: InstanceHooks
  readonly clusterId: string
  readonly systemIdentifier: string
  readonly assignment: Assignment
  fence(reason: MirabelleError): void
}

/** The accept callback of the listener: throws a MirabelleError to refuse. */
export function acceptConnection(subject: ConnectionSubject, connection: Connection, hello: Hello): void {
  learnEpoch(subject, hello)
  switch (hello.purpose) {
    case 'control':
      connection.setHandlers(controlHandlers(subject, connection))
      return
    case 'wal':
      if (subject.primary !== undefined && subject.roleState === 'primary') {
        subject.primary.hub.accept(connection, hello)
      } else connection.setHandlers(introduceOnly(subject))
      return
    case 'dispatch': {
      refuseStale(subject, hello)
      if (!mayBePrimarySoon(subject.roleState, subject.assignment.role)) {
        const refused = refusal('dispatch.open', subject.roleState, subject)
        if (refused !== undefined) throw refused
      }
      if (subject.hooks.onDispatch === undefined) throw noSuchPurpose(subject, hello)
      subject.hooks.onDispatch(connection, hello)
      return
    }
    case 'copy': {
      const refused = refusal('copy.begin', subject.roleState, subject)
      if (refused !== undefined) throw refused
      const { copies } = subject.primary ?? {}
      if (subject.hooks.onCopy !== undefined) subject.hooks.onCopy(connection, hello)
      else if (copies === undefined) throw noSuchPurpose(subject, hello)
      else copies.accept(connection, hello)
    }
  }
}

/** A coordinator that hears of a higher epoch has been replaced. Segments learn epochs from the requests themselves. */
function learnEpoch(subject: ConnectionSubject, hello: Hello): void {
  if (hello.epoch <= subject.durable.epoch) return
  if (subject.content !== COORDINATOR_CONTENT || subject.roleState !== 'primary') return
  subject.fence(superseded(subject, hello.epoch, hello.name))
}

/** What a coordinator says of itself once another one rules. */
export function superseded(
  subject: { readonly dbid: number; readonly durable: { readonly epoch: number } },
  epoch: number,
  who: string,
): MirabelleError {
  return new MirabelleError(
    'epoch.stale',
    `Standby activated, this node no more can act as coordinator: dbid ${subject.dbid} has epoch ${subject.durable.epoch}, ${who} speaks of epoch ${epoch}`,
    { detail: { epoch: subject.durable.epoch, newer: epoch } },
  )
}

/** What a coordinator says of itself once its standby acts as primary. */
export function replaced(reason: MirabelleError): MirabelleError {
  return new MirabelleError(
    'epoch.stale',
    `Standby activated, this node no more can act as coordinator: ${reason.message}`,
    { cause: reason },
  )
}

function refuseStale(subject: ConnectionSubject, hello: Hello): void {
  if (hello.epoch >= subject.durable.epoch) return
  throw new MirabelleError(
    'epoch.stale',
    `dbid ${subject.dbid} of content ${subject.content} has promised epoch ${subject.durable.epoch}; ${hello.name} speaks for epoch ${hello.epoch}`,
    { detail: { epoch: subject.durable.epoch } },
  )
}

function noSuchPurpose(subject: ConnectionSubject, hello: Hello): MirabelleError {
  return new MirabelleError(
    'wrong.content',
    `dbid ${subject.dbid} of content ${subject.content} takes no connections for ${hello.purpose}`,
  )
}

function controlHandlers(subject: ConnectionSubject, connection: Connection) {
  return {
    onMessage: (message: Message, respond: Responder | undefined): void => {
      if (handleControl(subject, connection, message, respond)) return
      if (subject.hooks.onControl?.(connection, message, respond) === true) return
      unknown(subject, message, respond)
    },
    onClose: (): void => undefined,
  }
}

/** Purpose `wal` at an instance that is not primary: it says who it is and refuses to stream. */
function introduceOnly(subject: ConnectionSubject) {
  return {
    onMessage: (message: Message, respond: Responder | undefined): void => {
      if (message.type === 'wal.identify' && respond !== undefined) {
        const now = subject.probed()
        respond.reply({
          type: 'wal.identified',
          clusterId: subject.clusterId,
          content: subject.content,
          dbid: subject.dbid,
          systemIdentifier: subject.systemIdentifier,
          timeline: now.timeline,
          flushLsn: now.flushLsn,
          oldestLsn: now.flushLsn,
          history: [],
          isPrimary: false,
        })
        return
      }
      if (message.type === 'wal.start' && respond !== undefined) {
        // It may have become primary since: the receiver comes again and is accepted by the hub then.
        const refused = refusal('wal.start', subject.roleState, subject)
        respond.fail(
          refused ??
            new MirabelleError('not.ready', `dbid ${subject.dbid} has just become primary: connect again`),
        )
        return
      }
      unknown(subject, message, respond)
    },
    onClose: (): void => undefined,
  }
}

function unknown(subject: ConnectionSubject, message: Message, respond: Responder | undefined): void {
  const error = new MirabelleError(
    'message.bad',
    `${message.type} is nothing that dbid ${subject.dbid} of content ${subject.content} answers here`,
  )
  if (respond === undefined) throw error
  respond.fail(error)
}
