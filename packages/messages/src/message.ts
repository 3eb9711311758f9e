/** The message union, derived from the catalog, and the check for what comes from outside. */
import { messageCatalog } from './protocol/catalog.ts'
import type { Field, TypeOf } from './protocol/field.ts'

type Catalog = typeof messageCatalog

/** The name of a message. */
export type MessageType = keyof Catalog
/** The message with this name. */
export type MessageOf<K extends MessageType> = { readonly type: K } & {
  readonly [F in keyof Catalog[K]['fields']]: TypeOf<Catalog[K]['fields'][F]>
}
/** Any message of the cluster protocol. */
export type Message = { [K in MessageType]: MessageOf<K> }[MessageType]
/** Names of messages that are answered. */
export type RequestType = {
  [K in MessageType]: Catalog[K]['reply'] extends MessageType ? K : never
}[MessageType]
/** The answer to a request. */
export type ReplyOf<K extends RequestType> = {
  [T in K]: Catalog[T]['reply'] extends infer R extends MessageType ? MessageOf<R> : never
}[K]
/** How an instance is to run. */
export type Assignment = MessageOf<'agent.start'>['assignment']
/** `[seq, lsn, answer]` of a statement that took effect. */
export type SettledEntry = MessageOf<'wal.data'>['settled'][number]
/** A line of a timeline history. */
export type HistoryEntry = MessageOf<'wal.started'>['history'][number]

/** True when `type` names a message. */
export function isMessageType(type: unknown): type is MessageType {
  return typeof type === 'string' && Object.hasOwn(messageCatalog, type)
}

const assignmentField = messageCatalog['agent.start'].fields.assignment

/** True when a value that came from outside, a file for example, is an assignment. */
export function isAssignment(value: unknown): value is Assignment {
  return assignmentField.check(value)
}

/**
 * Checks a decoded value from outside. Returns undefined when it is a message, else a sentence that says what is wrong with it
 * (never the content of the value).
 */
export function whatIsWrong(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return 'a message must be an object'
  const message = value as Record<string, unknown>
  if (!isMessageType(message['type'])) {
    const { type } = message
    return typeof type === 'string'
      ? `unknown message type ${JSON.stringify(type.slice(0, 40))}`
      : `the type of a message must be text, not ${typeof type}`
  }
  const fields = messageCatalog[message['type']].fields as Record<string, Field<unknown>>
  for (const name in fields) {
    const field = fields[name] as Field<unknown>
    if (!field.check(message[name]))
      return `${message['type']}: field "${name}" must be ${field.type.slice(0, 200)}`
  }
  return undefined
}
