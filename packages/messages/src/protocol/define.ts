/** How a message is defined: a sentence, the reply that it asks for, and its fields. */
import type { Field } from './field.ts'

export interface MessageDefinition<R extends string | null, F extends Record<string, Field<unknown>>> {
  /** What it says and who says it. */
  readonly doc: string
  /** The message that answers it, or null when nothing does. Any request can be answered with `error`. */
  readonly reply: R
  readonly fields: F
}

/** Defines a message. */
export function define<const R extends string | null, const F extends Record<string, Field<unknown>>>(
  doc: string,
  reply: R,
  fields: F,
): MessageDefinition<R, F> {
  return { doc, reply, fields }
}
