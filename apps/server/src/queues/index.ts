export { openQueues, Queues, type QueueLog, type QueuesOptions } from './queues.js'
export { type QueueName, queueNames, queueTable } from './names.js'
