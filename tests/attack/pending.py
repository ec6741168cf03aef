"""Attacks that are known to succeed, or of which nothing tells, with the reason. The default run leaves them out and names them;
tests/attack/run --all makes them, too."""

NOT_SEALED = "the channel between operator and agent is not sealed yet"
PENDING = {
    "forged_segments_in_the_stream": NOT_SEALED,
    "an_earlier_answer_in_the_stream": NOT_SEALED,
    "forged_segments_of_another_container": NOT_SEALED,
    "a_neighbours_false_success": NOT_SEALED,
    "a_container_reads_the_others_requests": NOT_SEALED,
    "a_bare_400_by_a_neighbour": NOT_SEALED,
    "a_neighbour_reads_the_request": NOT_SEALED,
    "a_bare_403_by_a_neighbour": NOT_SEALED,
    "a_bare_410_by_a_neighbour": NOT_SEALED,
    "a_bare_413_by_a_neighbour": NOT_SEALED,
    "sealed_noise_by_a_neighbour": NOT_SEALED,
    "sealed_frames_without_end": NOT_SEALED,
    "tiny_events_without_end": NOT_SEALED,
    "long_texts_beside_the_output": NOT_SEALED,
    "a_bare_409_by_a_neighbour": NOT_SEALED,
    "a_long_name_in_an_answer": NOT_SEALED,
    "a_name_with_slashes_in_an_answer": NOT_SEALED,
    "a_deep_answer": NOT_SEALED,
    "a_million_bytes_of_braces": NOT_SEALED,
    "a_false_nothing_runs_here": NOT_SEALED,
    "an_earlier_answer_by_a_neighbour": NOT_SEALED,
}
