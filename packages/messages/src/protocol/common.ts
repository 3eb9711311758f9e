/** Composite fields that several messages share. */
import * as f from './field.ts'

export const endpoint = (doc: string) =>
  f.record({ addresses: f.list(f.text('an address'), 'tried in order', 16), port: f.uint('TCP port') }, doc)

export const peer = (doc: string) =>
  f.record({ dbid: f.dbid('its dbid'), endpoint: endpoint('where it listens') }, doc)

/** One entry of a timeline history: `timeline` ended at `end`, where the next one forked off. */
export const historyEntry = f.record(
  { timeline: f.timeline('an ancestor'), end: f.lsn('where its successor forked off') },
  'a line of a timeline history',
)

/** A dispatch sequence number complete at an LSN, with its (small) answer. */
export const settledEntry = f.tuple(
  [f.uint('dispatch seq'), f.lsn('complete at'), f.nullable(f.bytes('answer kept for the client, if small'))],
  'a statement that took effect',
)
