/** Names of things that many packages speak of. The vocabulary is the one of docs/architecture.md. */

/** Identifies one instance in the cluster, 1 and up; 1 is the first coordinator. */
export type Dbid = number
/** A shard number 0..N-1; the coordinator is content -1. */
export type Content = number
/** The content of the coordinator and its standby. */
export const COORDINATOR_CONTENT: Content = -1
/** The setting by which the PostgreSQL of an instance knows its content: gp_execution_segment() reads it. */
export const CONTENT_SETTING = 'mirabelle.content'
/** Grows by one with each coordinator activation; instances refuse lower ones (invariant I4). */
export type Epoch = number
/** Number of one dispatched statement, growing per content within one coordinator incarnation. */
export type DispatchSeq = number
/** Global id of a distributed transaction; also the name of its prepared transactions. */
export type Gid = string

/** Acting or preferred role: primary or mirror. */
export type Role = 'p' | 'm'
/** Mode of a pair: in sync or not; both rows always agree. */
export type Mode = 's' | 'n'
/** Up or down. */
export type Status = 'u' | 'd'

/** Where a process listens; a host with two networks has two addresses, tried in order. */
export interface Endpoint {
  readonly addresses: readonly string[]
  readonly port: number
}

/** The other half of a pair, as an instance is told of it. */
export interface Peer {
  readonly dbid: Dbid
  readonly endpoint: Endpoint
}

/** One row of gp_segment_configuration, and where the instance is reached inside the cluster. */
export interface SegmentRow {
  readonly dbid: Dbid
  readonly content: Content
  readonly role: Role
  readonly preferredRole: Role
  readonly mode: Mode
  readonly status: Status
  /** The port of the catalog: PostgreSQL's protocol for content -1, the cluster protocol for segments. */
  readonly port: number
  readonly hostname: string
  readonly address: string
  readonly datadir: string
  /** Where the cluster protocol is spoken (the same port as `port`, but for content -1). */
  readonly endpoint: Endpoint
}

/** One host of the cluster and its agent. */
export interface HostRow {
  readonly hostname: string
  readonly agent: Endpoint
}
