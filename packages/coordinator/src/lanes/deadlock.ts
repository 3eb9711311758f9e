/**
 * Deadlocks between users of lanes (sql §1): the coordinator sees all waits, so a cycle is found when it forms.
 *
 * Edges: a waiting ticket waits for the holder of its lane and for every hold ahead of it in the queue. In a cycle a user that has
 * run nothing yet goes to the end of its queues (nobody notices); else the youngest user is the victim (40P01).
 */
import type { LaneQueue, LaneTicket, LaneUser } from './lane-queue.ts'

/** The tickets of each user over all lanes. */
function ticketsByUser(lanes: Iterable<LaneQueue>): Map<LaneUser, LaneTicket[]> {
  const byUser = new Map<LaneUser, LaneTicket[]>()
  for (const lane of lanes) {
    const tickets = lane.holder === undefined ? lane.waiting : [lane.holder, ...lane.waiting]
    for (const ticket of tickets) {
      const list = byUser.get(ticket.user)
      if (list === undefined) byUser.set(ticket.user, [ticket])
      else list.push(ticket)
    }
  }
  return byUser
}

function blockersOf(ticket: LaneTicket): LaneUser[] {
  if (ticket.state !== 'waiting') return []
  const blockers: LaneUser[] = []
  if (ticket.queue.holder !== undefined) blockers.push(ticket.queue.holder.user)
  for (const ahead of ticket.queue.waiting) {
    if (ahead === ticket) break
    if (ahead.hold) blockers.push(ahead.user)
  }
  return blockers
}

/** The users of a cycle that `start` is part of, or undefined. */
export function findCycle(lanes: Iterable<LaneQueue>, start: LaneUser): LaneUser[] | undefined {
  const byUser = ticketsByUser(lanes)
  const path: LaneUser[] = []
  const seen = new Set<LaneUser>()
  const visit = (user: LaneUser): boolean => {
    path.push(user)
    for (const ticket of byUser.get(user) ?? []) {
      for (const blocker of blockersOf(ticket)) {
        if (blocker === start) return true
        if (seen.has(blocker)) continue
        seen.add(blocker)
        if (visit(blocker)) return true
      }
    }
    path.pop()
    return false
  }
  return visit(start) ? path : undefined
}

/** Breaks the cycles that `start` is part of. Returns how many users had to give way. */
export function breakCycles(lanes: readonly LaneQueue[], start: LaneUser): number {
  let broken = 0
  const told = new Set<LaneUser>()
  for (;;) {
    const cycle = findCycle(lanes, start)
    if (cycle === undefined) return broken
    broken++
    const patient = cycle.filter((user) => user.requeueable)
    if (patient.length > 0) {
      const user = youngest(patient)
      for (const ticket of ticketsByUser(lanes).get(user) ?? []) ticket.queue.requeue(ticket)
    } else {
      const victim = youngest(cycle)
      victim.deadlockVictim()
      if (victim === start) return broken
      if (told.has(victim)) throw new Error('the victim of a deadlock did not leave its queues')
      told.add(victim)
    }
  }
}

function youngest(users: readonly LaneUser[]): LaneUser {
  return users.reduce((a, b) => (b.age > a.age ? b : a))
}
