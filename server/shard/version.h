/* version.h - what this is, and whose protocol it speaks. */
#pragma once

#ifndef MILLRACE_VERSION
#define MILLRACE_VERSION "0.1.0"
#endif

/* The nats-server release whose behaviour this server matches. Clients gate features on it, so INFO carries it. */
#define NATS_VERSION   "2.15.2"
#define NATS_API_LEVEL 5
