/* What every cmocka test includes, in the order that cmocka.h asks for. */
#ifndef ARL_TESTS_UNIT_H
#define ARL_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
