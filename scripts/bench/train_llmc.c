// Training speed of llm.c's CPU program at GPT-2 124M, for scripts/bench/train.ts: its own file is
// included as it is, weights are random.
//
// cc -Ofast -march=native -fopenmp -I LLM_C_FOLDER train_llmc.c -lm -o train_llmc
// usage: train_llmc BATCH SEQ STEPS      prints one JSON object
#define TESTING
#include "train_gpt2.c"

// As gpt2_build_from_checkpoint, without a file.
static void build_random(GPT2 *model) {
    memset(model, 0, sizeof *model);
    model->config = (GPT2Config){.max_seq_len = 1024, .vocab_size = 50257,
                                 .padded_vocab_size = 50304, .num_layers = 12,
                                 .num_heads = 12, .channels = 768};
    fill_in_parameter_sizes(model->param_sizes, model->config);
    for (size_t i = 0; i < NUM_PARAMETER_TENSORS; i++) model->num_parameters += model->param_sizes[i];
    model->params_memory = malloc_and_point_parameters(&model->params, model->param_sizes);
    unsigned state = 1;
    for (size_t i = 0; i < model->num_parameters; i++) {
        state = state * 1664525u + 1013904223u;
        model->params_memory[i] = 0.02f * ((float)(state >> 8) / (1 << 23) - 1.0f);
    }
    model->mean_loss = -1.0f;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int B = atoi(argv[1]), T = atoi(argv[2]), steps = atoi(argv[3]);
    GPT2 model;
    build_random(&model);
    int *ids = malloc(B * T * sizeof(int));
    for (int i = 0; i < B * T; i++) ids[i] = (int)((unsigned)i * 2654435761u % 50257u);
    double best = 1e30;
    for (int step = 0; step <= steps; step++) {
        struct timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        gpt2_forward(&model, ids, ids, B, T);
        gpt2_zero_grad(&model);
        gpt2_backward(&model);
        gpt2_update(&model, 1e-4f, 0.9f, 0.999f, 1e-8f, 0.0f, step + 1);
        clock_gettime(CLOCK_MONOTONIC, &end);
        double seconds = (end.tv_sec - start.tv_sec) + (end.tv_nsec - start.tv_nsec) / 1e9;
        if (step > 0 && seconds < best) best = seconds;
    }
    printf("{\"tokens_per_second\": %g, \"parameters\": %zu}\n", B * T / best, model.num_parameters);
    return 0;
}
