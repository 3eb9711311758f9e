/** States that a real cluster gave in each situation; recorded with `createCluster().state()`. */
import { readFileSync } from 'node:fs'
import type { ClusterState } from '@mirabelle/messages'
import type { HeadlessState } from '../../src/cluster/state-of.ts'

function read(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), 'utf8'))
}

export const healthy = read('healthy') as ClusterState
export const mirrorDown = read('mirror-down') as ClusterState
export const failedOver = read('failed-over') as ClusterState
export const doubleFault = read('double-fault') as ClusterState
export const standbyDown = read('standby-down') as ClusterState
export const coordinatorDown = read('coordinator-down') as HeadlessState
